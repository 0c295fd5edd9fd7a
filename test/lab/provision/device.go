// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// devices makes raw block volumes: sparse files behind loop devices. A PersistentVolume names a link to the device,
// because the device has another number each time it is made: after the machine has rebooted, for instance.
//
// Loop devices are the machine's and not the node's. They are known by their file's name, which holds the lab's number
// in the name of dir (see topology.Lab.Devices), from any mount namespace.
type devices struct{ dir string }

func (d *devices) image(name string) string { return filepath.Join(d.dir, name+".img") }
func (d *devices) link(name string) string  { return filepath.Join(d.dir, name) }

// open makes dir, and the devices of the files that are already there.
func (d *devices) open() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	images, err := filepath.Glob(d.image("*"))
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := d.attach(strings.TrimSuffix(filepath.Base(image), ".img")); err != nil {
			return err
		}
	}
	return nil
}

// make makes a device of so many bytes, or finds it made, and returns the link to it.
func (d *devices) make(name string, size int64) (string, error) {
	f, err := os.OpenFile(d.image(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err != nil {
		return "", err
	}
	return d.link(name), d.attach(name)
}

func (d *devices) attach(name string) error {
	device := d.attached(name)
	if device == "" {
		out, err := exec.Command("losetup", "--find", "--show", d.image(name)).CombinedOutput()
		device = strings.TrimSpace(string(out))
		if err != nil {
			return fmt.Errorf("losetup %s: %w: %s", d.image(name), err, device)
		}
	}
	if now, err := os.Readlink(d.link(name)); err == nil && now == device {
		return nil
	}
	if err := os.Remove(d.link(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(device, d.link(name))
}

// attached returns the loop device of a file, or nothing.
func (d *devices) attached(name string) string {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return ""
	}
	suffix := "/" + filepath.Base(d.dir) + "/" + name + ".img"
	for _, file := range files {
		backing, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(strings.TrimSpace(string(backing)), suffix) {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(file)))
		}
	}
	return ""
}

// remove frees the device and removes what it was made of.
func (d *devices) remove(name string) error {
	if device := d.attached(name); device != "" {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			return fmt.Errorf("losetup --detach %s: %w: %s", device, err, strings.TrimSpace(string(out)))
		}
	}
	for _, path := range []string{d.link(name), d.image(name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
