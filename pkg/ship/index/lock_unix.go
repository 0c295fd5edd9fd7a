// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package index

import (
	"os"
	"syscall"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// lockFile takes the lock that keeps a second process out, and keeps it until the file
// is closed.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.State(err, "open the state")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fault.Wrap(fault.StateBusy, err, "the state of this volume is in use by another process")
	}
	return f, nil
}

// unlock gives the lock up at once, even when a process that is just being started still
// shares the descriptor.
func unlock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
