// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package mount opens the volume behind a checked seat, and nothing else.
//
// The agent sees the kubelet's pods folder and no other part of the node. Below
// it everything belongs to root, but what lies behind a mount belongs to users,
// and the way to a mount is made of strings that came from the API server. So:
//
//   - The path is opened below a held descriptor of the pods folder with openat2
//     and RESOLVE_BENEATH, NO_SYMLINKS and NO_MAGICLINKS: no string leads out.
//   - What was opened must be a mount root (STATX_ATTR_MOUNT_ROOT), at exactly
//     the expected place in this process's mountinfo. st_dev alone would miss
//     bind mounts of the same filesystem, and an empty folder left behind by the
//     kubelet would be taken for a volume.
//   - The mount must be of the claim's volume. For a mount pod's volume the kubelet
//     bind-mounts <pods>/<uid>/volumes/<plugin>/<pv> to volume-subpaths/...: both
//     must be the same directory of the same filesystem. A hostPath volume has no
//     such first mount; there mountinfo's root must end as the volume's path does.
//
// Why volume-subpaths at all: a hostPath volume (the default class of kind and
// minikube) has no mount of its own, and a mount pod that mounts a volume with
// subPath "." makes the kubelet bind one for every kind of volume.
//
// The descriptors that Open returns are the only thing that keeps the kubelet
// from unmounting the volume; their mount pod closes them when the pod goes.
package mount

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// subPathsDir is where the kubelet makes its bind mounts for subPath, see
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/util/subpath/subpath_linux.go
const subPathsDir = "volume-subpaths"

// mountPath is the path of a filesystem volume below the pods folder. Every
// component was checked for its syntax by package check; it is checked once more
// here that none of them could be anything but one plain name.
func mountPath(mnt *authz.Mount, pv string) (string, error) {
	parts := []string{string(mnt.PodUID), subPathsDir, pv, mnt.Container, strconv.Itoa(mnt.MountIndex)}
	return joinNames(parts...)
}

// joinNames joins names that are each a single component.
func joinNames(parts ...string) (string, error) {
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || strings.ContainsAny(p, "/\x00") {
			return "", invalid("%q is not a valid file name", p)
		}
	}
	return strings.Join(parts, "/"), nil
}

// info is one line of /proc/<pid>/mountinfo, see proc_pid_mountinfo(5).
type info struct {
	id         uint64
	majorMinor string
	// root is the path within the filesystem that is mounted.
	root string
	// point is where, relative to the process's root.
	point string
}

// parseMountinfo finds the line of the mount with the given id.
func parseMountinfo(text string, id uint64) (*info, error) {
	want := strconv.FormatUint(id, 10)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || f[0] != want {
			continue
		}
		return &info{id: id, majorMinor: f[2], root: unescape(f[3]), point: unescape(f[4])}, nil
	}
	return nil, fmt.Errorf("mount %d is not in mountinfo", id)
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// checkHostPath compares the mount of a hostPath volume with the volume's path.
// The kernel reports the path within the filesystem, the volume's is the node's:
// both end alike, unless the volume's path is itself where a filesystem is
// mounted; then root is "/". The whole filesystem that the kubelet's own folder
// is on is never a volume.
func checkHostPath(m *info, volumePath, podsMajorMinor string) error {
	clean := path.Clean("/" + volumePath)
	if clean == "/" {
		return invalid("the volume is the root folder of the node")
	}
	if m.root == "/" {
		if m.majorMinor == podsMajorMinor {
			return invalid("the mount is an entire filesystem of the node")
		}
		return nil
	}
	if path.Base(m.root) != path.Base(clean) {
		return invalid("the mount is of %q, the volume's path is %q", m.root, volumePath)
	}
	return nil
}

// hostPath returns the path of a hostPath volume, and false for every other.
func hostPath(pv *corev1.PersistentVolume) (string, bool) {
	if pv.Spec.HostPath == nil {
		return "", false
	}
	return pv.Spec.HostPath.Path, true
}

func invalid(format string, args ...any) error {
	return fault.New(v1alpha1.ReasonMountInvalid, format, args...)
}
