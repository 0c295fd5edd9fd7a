// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle brings a lab up, keeps it running and takes it down.
//
// `up` prepares everything on disk, then starts a supervisor that is detached from the caller and lives until `down`.
// The supervisor's children are the clusters' routers and the nodes' first processes; they die with it, and everything
// on a node dies with its first process. After a kill, the next `up` finds the disk as it was and carries on,
// and the next `down` removes it.
package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/test/lab/fabric"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// registry is where the labs of this machine note which slot they use.
const registry = "/run/motion-lab"

// settings is what a lab's folder remembers of how it was made.
type settings struct {
	Slot   int              `json:"slot"`
	Shapes []topology.Shape `json:"shapes"`
}

// ErrNoLab says that a folder holds no lab.
var ErrNoLab = errors.New("no lab here")

// Open finds the lab in a folder.
func Open(dir string) (*topology.Lab, error) {
	data, err := os.ReadFile(settingsFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; start one with: motion-lab up --dir %s", dir, ErrNoLab, dir)
	}
	if err != nil {
		return nil, err
	}
	var s settings
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", settingsFile(dir), err)
	}
	return topology.New(dir, s.Slot, s.Shapes), nil
}

func settingsFile(dir string) string { return filepath.Join(dir, "lab.json") }

// openOrCreate finds the lab in a folder, or lays a new one out there in a free slot.
func openOrCreate(dir string, shapes []topology.Shape) (*topology.Lab, error) {
	lab, err := Open(dir)
	if err == nil {
		return lab, reserve(lab.Slot, dir)
	}
	if !errors.Is(err, ErrNoLab) {
		return nil, err
	}
	slot, err := freeSlot(dir)
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(settings{Slot: slot, Shapes: shapes}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(settingsFile(dir), append(data, '\n'), 0o644); err != nil {
		return nil, err
	}
	return topology.New(dir, slot, shapes), nil
}

// freeSlot reserves the first slot that no other lab uses and whose addresses the host does not.
func freeSlot(dir string) (int, error) {
	routes, err := fabric.Exec(0, "ip", "-4", "-o", "route", "show", "table", "all")
	if err != nil {
		return 0, err
	}
	for slot := range topology.MaxSlots {
		if inUse(routes, topology.New(dir, slot, nil).Network()) {
			continue
		}
		if err := reserve(slot, dir); err == nil {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("all %d address ranges for labs are in use; see %s", topology.MaxSlots, registry)
}

// inUse reports whether one of the host's routes, other than the default one, overlaps a network.
func inUse(routes, network string) bool {
	ours := netip.MustParsePrefix(network)
	for line := range strings.Lines(routes) {
		for field := range strings.FieldsSeq(line) {
			if prefix, err := netip.ParsePrefix(field); err == nil && prefix.Bits() > 0 && ours.Overlaps(prefix) {
				return true
			}
			if address, err := netip.ParseAddr(field); err == nil && ours.Contains(address) {
				return true
			}
		}
	}
	return false
}

func slotFile(slot int) string { return filepath.Join(registry, strconv.Itoa(slot)) }

// reserve notes that a slot belongs to the lab in dir.
func reserve(slot int, dir string) error {
	if err := os.MkdirAll(registry, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(slotFile(slot), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		owner, err := os.ReadFile(slotFile(slot))
		if err != nil {
			return err
		}
		if string(owner) == dir {
			return nil
		}
		if _, err := Open(string(owner)); errors.Is(err, ErrNoLab) {
			return os.WriteFile(slotFile(slot), []byte(dir), 0o644) // its folder is gone
		}
		return fmt.Errorf("address range %d belongs to the lab in %s", slot, owner)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(dir); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// lock keeps a second `up` or `down` of the same lab out until the returned function is called.
func lock(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another motion-lab works on %s right now: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
