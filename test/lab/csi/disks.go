// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disks are the images of volumes and snapshots, with a small description beside each.
type disks struct{ root string }

// disk describes an image.
type disk struct {
	Block bool `json:"block,omitempty"`
	// Freeze: the filesystem is frozen for the moment of a snapshot.
	Freeze bool  `json:"freeze,omitempty"`
	Size   int64 `json:"size"`
	// New: never mounted yet.
	New bool `json:"new,omitempty"`
	// Source is the volume that a snapshot is of, Taken when it was taken.
	Source string    `json:"source,omitempty"`
	Taken  time.Time `json:"taken,omitzero"`
	// Mount is where a volume is mounted, for freezing it.
	Mount string `json:"mount,omitempty"`
}

var errNoDisk = errors.New("no such volume or snapshot on this node")

func (d disks) prepare() error { return os.MkdirAll(d.root, 0o700) }

// names are the identifiers that come in from the API: they become file names.
func names() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,100}$`) }

func (d disks) image(id string) string { return filepath.Join(d.root, id+".img") }

func (d disks) read(id string) (disk, error) {
	var out disk
	if !names().MatchString(id) {
		return out, fmt.Errorf("%q: %w", id, errNoDisk)
	}
	data, err := os.ReadFile(filepath.Join(d.root, id+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("%s: %w", id, errNoDisk)
	}
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(data, &out)
}

// write stores the description, in one step: it is what makes an image count.
func (d disks) write(id string, k disk) error {
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	next := filepath.Join(d.root, id+".next")
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(d.root, id+".json"))
}

func (d disks) remove(id string) error {
	if !names().MatchString(id) {
		return nil
	}
	for _, file := range []string{filepath.Join(d.root, id+".json"), d.image(id)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// create makes an empty disk, or one with the content of another.
func (d disks) create(id string, k disk, from string) error {
	if !names().MatchString(id) {
		return fmt.Errorf("%q is not the name of a volume", id)
	}
	image := d.image(id)
	_ = os.Remove(image) // of an attempt that was killed
	if from != "" {
		if err := reflink(d.image(from), image); err != nil {
			return err
		}
	}
	if err := run("truncate", "-s", fmt.Sprint(k.Size), image); err != nil {
		return err
	}
	if from == "" && !k.Block {
		// lost+found is as in life.
		k.New = true
		if err := run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,nodiscard", image); err != nil {
			return err
		}
	}
	return d.write(id, k)
}

// reflink copies an image at one instant: the filesystem below holds writers off for as long as it takes.
func reflink(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
		return fmt.Errorf("reflink %s: %w", from, err)
	}
	return dst.Sync()
}

// freezing runs f while the filesystem at dir is frozen.
func freezing(dir string, f func() error) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	const freeze, thaw = 0xc0045877, 0xc0045878 // FIFREEZE, FITHAW of linux/fs.h
	if err := unix.IoctlSetInt(int(root.Fd()), freeze, 0); err != nil {
		return fmt.Errorf("freeze %s: %w", dir, err)
	}
	return errors.Join(f(), unix.IoctlSetInt(int(root.Fd()), thaw, 0))
}

// attach makes a loop device of an image. It is freed when it is no longer open or mounted.
func attach(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("a free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		c := &unix.LoopConfig{Fd: uint32(backing.Fd())}
		c.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(device.Fd()), c)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // another process was faster
			return nil, fmt.Errorf("attach %s: %w", image, err)
		}
	}
}

func run(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
