// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inotifyLimit is how many inotify instances root may have. Every kubelet, containerd and container log costs some, and
// a usual limit of 128 is reached with a few dozen pods. It is the one kernel setting of the host that a lab changes.
const (
	inotifyLimit = "/proc/sys/fs/inotify/max_user_instances"
	inotifyNeed  = 4096
)

// inotifyBefore keeps the host's own limit while labs run.
func inotifyBefore() string { return filepath.Join(registry, "inotify") }

// raiseInotify raises the limit when it is low, and remembers what it was.
func raiseInotify() error {
	data, err := os.ReadFile(inotifyLimit)
	if err != nil {
		return err
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || limit >= inotifyNeed {
		return err
	}
	if err := os.WriteFile(inotifyBefore(), data, 0o644); err != nil {
		return err
	}
	return os.WriteFile(inotifyLimit, []byte(strconv.Itoa(inotifyNeed)), 0)
}

// restoreInotify gives the host its own limit back once no lab is left.
func restoreInotify() error {
	left, err := os.ReadDir(registry)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range left {
		if e.Name() != filepath.Base(inotifyBefore()) {
			return nil
		}
	}
	if data, err := os.ReadFile(inotifyBefore()); err == nil {
		if err := os.WriteFile(inotifyLimit, data, 0); err != nil {
			return err
		}
	}
	return os.RemoveAll(registry)
}
