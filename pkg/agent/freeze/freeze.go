// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package freeze holds a filesystem still (FIFREEZE) for the moment of a snapshot,
// for applications whose image has no shell to do it in, and never for longer than
// it was asked for.
//
// A frozen filesystem blocks every writer until somebody thaws it; the kernel does
// not thaw when the process that froze it dies. So two processes know of each
// freeze. The keeper freezes, and thaws when the time is over or when the connection
// over which it was asked ends, whichever is first; a killed agent's connections end
// at once. The agent that asked thaws by itself when the connection ends before it
// let go: then it is the keeper that was killed. Both must be processes of their
// own containers: with the first process of a container the kernel kills all others
// in it.
//
// Only a filesystem of the volume's own is frozen: one that is mounted whole, and is
// neither what the agent's own folders are on nor what it sees mounted anywhere but
// in the kubelet's pods folder.
package freeze

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// MaxHold bounds every freeze: writers time out after longer.
const MaxHold = 60 * time.Second

// ErrShared is returned for a filesystem that is not the volume's own.
var ErrShared = errors.New("its filesystem is not the volume's own")

// mounted is what a line of mountinfo tells, see proc_pid_mountinfo(5).
type mounted struct{ id, device, root, point string }

func parse(mountinfo string) []mounted {
	var out []mounted
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) >= 5 {
			out = append(out, mounted{id: f[0], device: f[2], root: f[3], point: f[4]})
		}
	}
	return out
}

// own proves from mountinfo that the filesystem behind the mount with that id may be
// frozen. podsDir is the kubelet's pods folder as mountinfo shows it.
func own(mountinfo, id, podsDir string) error {
	all := parse(mountinfo)
	device, pods := "", ""
	for _, m := range all {
		if m.id == id {
			device = m.device
			if m.root != "/" {
				return fmt.Errorf("%w: %s of it is mounted", ErrShared, m.root)
			}
		}
		if m.point == podsDir {
			pods = m.device
		}
	}
	if device == "" {
		return fmt.Errorf("mount %s is not in mountinfo", id)
	}
	if device == pods {
		return fmt.Errorf("%w: the kubelet's pods folder is on it", ErrShared)
	}
	for _, m := range all {
		inside := strings.HasPrefix(m.point, filepath.Clean(podsDir)+"/")
		switch {
		case m.device != device:
		case !inside:
			return fmt.Errorf("%w: %s is on it, too", ErrShared, m.point)
		case m.root != "/":
			return fmt.Errorf("%w: other volumes are on it, too (%s)", ErrShared, m.root)
		}
	}
	return nil
}
