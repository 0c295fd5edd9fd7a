// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"

	"golang.org/x/sys/unix"
)

// pastFrom is the size from which on it is asked whether a file is better read past the page
// cache.
const pastFrom = 4 << 20

// openPast opens the file that fd stands for once more, to be read past the page cache, and
// gives -1 when it is better read through it: when it is small, when a quarter of it is
// there already, when the kernel cannot report it (cachestat is of Linux 6.5), or on a
// filesystem where O_DIRECT is not known to see what was written otherwise. What it spares is a
// copy in memory, and the source's application the pages that it uses.
//
// On ext4 and XFS such a read writes dirty pages out first, those stored to through a map
// too: it sees what a read through the cache would have seen.
func openPast(fd int, size int64) int {
	if size < pastFrom {
		return -1
	}
	if fs, err := filesystem(fd); err != nil || fs.name != "ext4" && fs.name != "xfs" {
		return -1
	}
	var cached unix.Cachestat_t
	if err := unix.Cachestat(uint(fd), &unix.CachestatRange{}, &cached, 0); err != nil {
		return -1
	}
	if int64(cached.Cache)*int64(unix.Getpagesize()) > size/4 {
		return -1
	}
	past, err := openDirect(fd)
	if err != nil {
		return -1
	}
	return past
}

// readPast reads as much of b as can be read past the page cache: up to the last whole block.
// The caller reads the rest. An error of the storage is an error, even if the page cache has the data.
func readPast(fd int, b []byte, off int64) (int, error) {
	if fd < 0 || !Aligned(b, off) {
		return 0, nil
	}
	done, err := readDirect(fd, b[:len(b)&^(DirectAlign-1)], off)
	if errors.Is(err, unix.EINVAL) { // sectors larger than DirectAlign
		return done, nil
	}
	return done, err
}
