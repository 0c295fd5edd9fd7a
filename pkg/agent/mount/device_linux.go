// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// devicesDir is where the kubelet leaves a link for each raw block volume of a pod:
// <pods>/<uid>/volumeDevices/<plugin>/<pv>.
const devicesDir = "volumeDevices"

// CheckDevice proves that the kubelet has mapped the raw block volume pv for the
// pod at seat, as far as the pods folder tells: there is one link of that name, of
// one plugin. The link leads out of the folder and is not followed: Devices opens
// what the kubelet mapped. The error has the reason MountInvalid.
func (o *Opener) CheckDevice(mnt *authz.Mount, pv string) error {
	dir, err := joinNames(string(mnt.PodUID), devicesDir)
	if err != nil {
		return err
	}
	plugins, err := o.list(dir)
	if err != nil {
		return invalid("block volumes of pod %s: %w", mnt.PodName, err)
	}
	found := 0
	for _, plugin := range plugins {
		rel, err := joinNames(string(mnt.PodUID), devicesDir, plugin, pv)
		if err != nil {
			return err
		}
		fd, err := o.openAs(rel, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			found++
		}
		_ = unix.Close(fd)
	}
	if found != 1 {
		return invalid("found %d kubelet links to block volume %s for pod %s, expected 1", found, pv, mnt.PodName)
	}
	return nil
}

// Device is an open raw block volume.
type Device struct {
	// File reads, and writes where that was asked for, through the page cache.
	File *os.File
	// Direct reads past it.
	Direct *os.File
	// Major and Minor are the device's numbers.
	Major, Minor uint32
}

// Close closes both.
func (d *Device) Close() error {
	err := d.File.Close()
	if d.Direct != nil {
		err = errors.Join(err, d.Direct.Close())
	}
	return err
}

// Devices opens raw block volumes that the kubelet mapped for pods. It works on the
// kubelet's plugins folder, where the kubelet bind-mounts the node of each device
// under the names of the volume and the pod. Those names were made by the kubelet
// and by no user, nothing is followed on the way, and so the numbers of what is
// found are those of the volume, regardless of its name in /dev.
type Devices struct{ at *Opener }

// NewDevices holds the folder dir, <kubelet root>/plugins as this process sees it.
func NewDevices(dir string) (*Devices, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("kubelet plugins folder: %w", err)
	}
	f, err := os.OpenFile(real, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("kubelet plugins folder: %w", err)
	}
	return &Devices{&Opener{pods: f, dir: real}}, nil
}

// Close releases the folder; devices that are open stay so.
func (d *Devices) Close() error { return d.at.Close() }

// mapped are the places where the kubelet maps a device for a pod: of a local
// volume and of a CSI driver's. The other plugins that know raw block (Fibre
// Channel, iSCSI) name their devices otherwise and are not served. See
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/local/local.go and
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/csi/csi_block.go
func mapped(pv, podUID string) ([]string, error) {
	name, err := joinNames(pv)
	if err != nil {
		return nil, err
	}
	pod, err := joinNames(podUID)
	if err != nil {
		return nil, err
	}
	return []string{
		"kubernetes.io~local-volume/" + devicesDir + "/" + name + "/" + pod,
		"kubernetes.io/csi/" + devicesDir + "/" + name + "/dev/" + pod,
	}, nil
}

// Open opens the raw block volume pv as the kubelet mapped it for the pod with
// that UID. A device that is opened for writing must not be in use: no filesystem of
// the node is mounted on it, no other device is made of it. The error has the
// reason MountInvalid.
func (d *Devices) Open(pv, podUID string, write bool) (*Device, error) {
	places, err := mapped(pv, podUID)
	if err != nil {
		return nil, err
	}
	var found []int
	defer func() {
		for _, fd := range found {
			_ = unix.Close(fd)
		}
	}()
	var why error
	for _, rel := range places {
		fd, err := d.at.openAs(rel, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			found = append(found, fd)
			_, err = d.at.mountRoot(fd, rel)
		}
		if err != nil {
			why = errors.Join(why, err)
		}
	}
	switch {
	case why != nil:
		return nil, invalid("block volume %s: %w", pv, why)
	case len(found) != 1:
		return nil, invalid("found %d kubelet mappings of block volume %s for the pod, expected 1; "+
			"only local and CSI volumes are supported", len(found), pv)
	}
	return openDevice(found[0], pv, write)
}

// openDevice opens what fd, an O_PATH descriptor, stands for.
func openDevice(fd int, pv string, write bool) (*Device, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, invalid("block volume %s: %w", pv, os.NewSyscallError("fstat", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, invalid("block volume %s is not a block device", pv)
	}
	flags := unix.O_RDONLY
	if write {
		flags = unix.O_RDWR | unix.O_EXCL
	}
	out := &Device{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
	var err error
	if out.File, err = reopenDevice(fd, pv, flags, st.Rdev); err != nil {
		return nil, err
	}
	if out.Direct, err = reopenDevice(fd, pv, unix.O_RDONLY|unix.O_DIRECT, st.Rdev); err != nil {
		_ = out.Close()
		return nil, err
	}
	return out, nil
}

func reopenDevice(fd int, pv string, flags int, rdev uint64) (*os.File, error) {
	// The link in /proc/self/fd leads to the very inode that was looked at.
	opened, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), flags|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fault.New(v1alpha1.ReasonNotExclusive, "block volume %s is in use on the node: it is mounted or part of another device", pv)
	case errors.Is(err, unix.EPERM):
		return nil, fault.New(v1alpha1.ReasonBlockDevicesDisabled, "block volume %s: the devices container is not permitted to open devices", pv)
	case err != nil:
		return nil, invalid("block volume %s: %w", pv, os.NewSyscallError("open", err))
	}
	if err := IsDevice(opened, rdev); err != nil {
		_ = unix.Close(opened)
		return nil, invalid("block volume %s: %w", pv, err)
	}
	return os.NewFile(uintptr(opened), pv), nil
}

// IsDevice proves that an open descriptor is of the block device with these numbers.
func IsDevice(fd int, rdev uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || st.Rdev != rdev {
		return errors.New("the opened device is not that of the volume")
	}
	return nil
}
