// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
)

// Opener opens volumes below the kubelet's pods folder.
type Opener struct {
	pods *os.File
	// dir is the pods folder as mountinfo shows it.
	dir string
}

// NewOpener holds the folder dir, <kubelet root>/pods as this process sees it.
func NewOpener(dir string) (*Opener, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("kubelet pods folder: %w", err)
	}
	f, err := os.OpenFile(real, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("kubelet pods folder: %w", err)
	}
	return &Opener{pods: f, dir: real}, nil
}

// Close releases the pods folder; volumes that are open stay so.
func (o *Opener) Close() error { return o.pods.Close() }

// OpenTree opens the root of the filesystem volume pv at seat, for reading
// folders; files are opened below it by the code that ships it. The error has the
// reason MountInvalid.
func (o *Opener) OpenTree(mnt *authz.Mount, pv *corev1.PersistentVolume) (*os.File, error) {
	rel, err := mountPath(mnt, pv.Name)
	if err != nil {
		return nil, err
	}
	fd, err := o.openBeneath(rel)
	if err != nil {
		return nil, invalid("volume %s of pod %s: %w", pv.Name, mnt.PodName, err)
	}
	defer func() { _ = unix.Close(fd) }()
	at, err := o.mountRoot(fd, rel)
	if err != nil {
		return nil, invalid("volume %s of pod %s: %w", pv.Name, mnt.PodName, err)
	}
	if err := o.checkOrigin(at, mnt, pv); err != nil {
		return nil, fmt.Errorf("volume %s of pod %s: %w", pv.Name, mnt.PodName, err)
	}
	return reopen(fd, at, pv.Name)
}

// resolve keeps a path below the descriptor it starts from and free of links;
// it may cross mounts, because volumes are mounts.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func (o *Opener) openBeneath(rel string) (int, error) { return o.openAs(rel, unix.O_DIRECTORY) }

// openAs opens what is at rel without following a link at its end; kind may ask
// for a directory.
func (o *Opener) openAs(rel string, kind uint64) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | kind | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolve}
	for {
		fd, err := unix.Openat2(int(o.pods.Fd()), rel, how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "openat2", Path: rel, Err: err}
		}
		return fd, nil
	}
}

// place is a directory and the mount that it was reached through.
type place struct {
	dev, ino uint64
	info
}

// mountRoot proves that fd is the root of a mount whose mount point is rel.
func (o *Opener) mountRoot(fd int, rel string) (*place, error) {
	stx, err := statx(fd)
	if err != nil {
		return nil, err
	}
	if stx.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, invalid("the kernel does not report mount roots; Linux 5.8 or later is required")
	}
	if stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, invalid("not a mount point")
	}
	at, err := o.placeOf(stx)
	if err != nil {
		return nil, err
	}
	if want := path.Join(o.dir, rel); at.point != want {
		return nil, invalid("the mount is at %q, expected %q", at.point, want)
	}
	return at, nil
}

func (o *Opener) placeOf(stx *unix.Statx_t) (*place, error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("mountinfo: %w", err)
	}
	m, err := parseMountinfo(string(text), stx.Mnt_id)
	if err != nil {
		return nil, err
	}
	return &place{dev: unix.Mkdev(stx.Dev_major, stx.Dev_minor), ino: stx.Ino, info: *m}, nil
}

func statx(fd int) (*unix.Statx_t, error) {
	var stx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &stx)
	if err != nil {
		return nil, os.NewSyscallError("statx", err)
	}
	if stx.Mask&unix.STATX_MNT_ID == 0 {
		return nil, errors.New("the kernel does not report mount IDs; Linux 5.8 or later is required")
	}
	return &stx, nil
}

// checkOrigin proves that the mount at is of the volume pv.
func (o *Opener) checkOrigin(at *place, mnt *authz.Mount, pv *corev1.PersistentVolume) error {
	if volumePath, ok := hostPath(pv); ok {
		stx, err := statx(int(o.pods.Fd()))
		if err != nil {
			return err
		}
		own, err := o.placeOf(stx)
		if err != nil {
			return err
		}
		return checkHostPath(&at.info, volumePath, own.majorMinor)
	}
	first, err := o.firstMount(mnt, pv)
	if err != nil {
		return err
	}
	if first.dev != at.dev || first.ino != at.ino || first.majorMinor != at.majorMinor || first.root != at.root {
		return invalid("the mount of the pod is %q on device %s, but that of the volume is %q on %s", at.root, at.majorMinor, first.root, first.majorMinor)
	}
	return nil
}

// firstMount finds the mount that the volume's plugin made for the pod:
// volumes/<plugin>/<pv>, or volumes/<plugin>/<pv>/mount for CSI. There is
// exactly one plugin's folder with that volume.
func (o *Opener) firstMount(mnt *authz.Mount, pv *corev1.PersistentVolume) (*place, error) {
	volumes, err := joinNames(string(mnt.PodUID), "volumes")
	if err != nil {
		return nil, err
	}
	plugins, err := o.list(volumes)
	if err != nil {
		return nil, invalid("volumes of the pod: %w", err)
	}
	var found []*place
	for _, plugin := range plugins {
		for _, leaf := range []string{pv.Name, pv.Name + "/mount"} {
			if at, err := o.at(volumes + "/" + plugin + "/" + leaf); err == nil {
				found = append(found, at)
			}
		}
	}
	if len(found) != 1 {
		return nil, invalid("found %d kubelet mounts of the volume for the pod, expected 1", len(found))
	}
	return found[0], nil
}

func (o *Opener) at(rel string) (*place, error) {
	fd, err := o.openBeneath(rel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	return o.mountRoot(fd, rel)
}

// list names the entries of a folder below the pods folder.
func (o *Opener) list(rel string) ([]string, error) {
	fd, err := o.openBeneath(rel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: rel, Err: err}
	}
	f := os.NewFile(uintptr(dir), rel)
	defer func() { _ = f.Close() }()
	return f.Readdirnames(-1)
}

// reopen turns the O_PATH descriptor into one that can be read, and proves that
// it is the same directory through the same mount.
func reopen(fd int, at *place, name string) (*os.File, error) {
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, invalid("volume %s: %w", name, os.NewSyscallError("openat", err))
	}
	f := os.NewFile(uintptr(dir), name)
	stx, err := statx(dir)
	if err == nil && (stx.Mnt_id != at.id || stx.Ino != at.ino || unix.Mkdev(stx.Dev_major, stx.Dev_minor) != at.dev) {
		err = errors.New("changed while it was opened")
	}
	if err != nil {
		_ = f.Close()
		return nil, invalid("volume %s: %w", name, err)
	}
	return f, nil
}
