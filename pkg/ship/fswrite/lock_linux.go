// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// Lock keeps other receivers out of the directory until unlock is called: by a flock on an open
// file of its own, which the kernel releases when the process dies. A filesystem that has no locks
// for directories (NFS) has none here either.
func (t *Tree) Lock() (unlock func(), err error) {
	fd, err := unix.Openat(t.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(fault.TargetUnwritable, err, "open the root of the target")
	}
	if err := lock(fd, 0); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return func() { _ = unix.Close(fd) }, nil
}

// Lock keeps other receivers out of the device. udev locks a device for moments when it reads it.
func (d *Device) Lock() (unlock func(), err error) {
	if err := lock(d.fd, 5*time.Second); err != nil {
		return nil, err
	}
	return func() { _ = unix.Flock(d.fd, unix.LOCK_UN) }, nil
}

func lock(fd int, timeout time.Duration) error {
	const retry = 50 * time.Millisecond
	for ; ; timeout -= retry {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil // locked, or without locks
		}
		if timeout <= 0 {
			return fault.New(fault.StateBusy, "another sync is writing to the target")
		}
		<-time.After(retry)
	}
}
