// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
)

// pastFrom is the length from which on data are written past the page cache: copying a
// large content into it and having it written from there costs more than writing it, and
// all of it would have to be waited for at the end.
const pastFrom = 256 << 10

// past writes past the page cache, where that is known to be good. The zero value is ready;
// it is for concurrent use.
type past struct {
	once sync.Once
	fd   int // 0: it was not tried, or it does not work
}

// write writes as much of data as can be written this way, of the file that fd stands for,
// and returns how much that was. The caller writes the rest. An error of the storage is an error:
// the page cache would accept the data and lose it later.
func (p *past) write(fd int, data []byte, off int64) (done int, err error) {
	if len(data) < pastFrom || !fsread.Aligned(data, off) {
		return 0, nil
	}
	p.once.Do(func() { p.open(fd) })
	if p.fd == 0 {
		return 0, nil
	}
	whole := len(data) &^ (fsread.DirectAlign - 1)
	for done < whole {
		n, err := unix.Pwrite(p.fd, data[done:whole], off+int64(done))
		if n > 0 {
			done += n &^ (fsread.DirectAlign - 1)
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL): // sectors larger than DirectAlign
			return done, nil
		case err != nil:
			return done, err
		case n < fsread.DirectAlign:
			return done, nil
		}
	}
	return done, nil
}

func (p *past) open(fd int) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil {
			return
		}
		if magic := uint32(fs.Type); magic != unix.EXT4_SUPER_MAGIC && magic != unix.XFS_SUPER_MAGIC {
			return
		}
	}
	direct, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_DIRECT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		p.fd = direct
	}
}

func (p *past) close() {
	if p.fd != 0 {
		_ = unix.Close(p.fd)
		p.fd = 0
	}
}
