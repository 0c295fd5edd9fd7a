// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const (
	uid    = "0c8b1f3a-52c1-4f3f-8f4e-6a0e3c1d2b10"
	volume = "pvc-1"
)

func mnt() *authz.Mount {
	return &authz.Mount{PodName: "motion-mount-1", PodUID: uid, Container: "mount", MountIndex: 2}
}

func localVolume() *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume}}
	pv.Spec.Local = &corev1.LocalVolumeSource{Path: "/disks/" + volume}
	return pv
}

func hostPathVolume(path string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume}}
	pv.Spec.HostPath = &corev1.HostPathVolumeSource{Path: path}
	return pv
}

func wantInvalid(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := fault.Reason(err); got != v1alpha1.ReasonMountInvalid {
		t.Errorf("reason %s (%v)", got, err)
	}
}

func TestThePathOfASeatIsMadeOfNamesOnly(t *testing.T) {
	got, err := mountPath(mnt(), volume)
	if want := uid + "/volume-subpaths/pvc-1/mount/2"; err != nil || got != want {
		t.Fatalf("%q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"", ".", "..", "a/b", "/", "a\x00"} {
		s := mnt()
		s.Container = bad
		if _, err := mountPath(s, volume); err == nil {
			t.Errorf("container %q is a name", bad)
		}
		if _, err := mountPath(mnt(), bad); err == nil {
			t.Errorf("volume %q is a name", bad)
		}
	}
}

const mountinfo = `36 35 98:0 / / rw,noatime master:1 - ext3 /dev/root rw,errors=continue
361 36 8:17 /vols/a\040b\134 /pods/x\011y rw,relatime - xfs /dev/sdb1 rw
3610 36 0:44 /@data /pods/z rw master:3 shared:4 - btrfs /dev/sdc rw
`

func TestMountinfoIsReadByIDAndItsEscapesAreUndone(t *testing.T) {
	m, err := parseMountinfo(mountinfo, 361)
	if err != nil {
		t.Fatal(err)
	}
	if want := (info{id: 361, majorMinor: "8:17", root: `/vols/a b\`, point: "/pods/x\ty"}); *m != want {
		t.Errorf("%+v, want %+v", *m, want)
	}
	if m, err := parseMountinfo(mountinfo, 3610); err != nil || m.point != "/pods/z" {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := parseMountinfo(mountinfo, 3); err == nil {
		t.Error("mount 3 was found")
	}
}

func TestAHostPathMountEndsAsTheVolumesPathDoes(t *testing.T) {
	cases := map[string]struct {
		root, majorMinor, path string
		ok                     bool
	}{
		"same filesystem as the node's root": {"/var/local/pvc-1", "8:1", "/var/local/pvc-1", true},
		"below a mount of the node":          {"/pvc-1", "8:2", "/mnt/disks/pvc-1", true},
		"the node itself is in a container":  {"/docker/volumes/x/_data/local/pvc-1", "8:1", "/var/local/pvc-1", true},
		"the path is a mount of its own":     {"/", "8:2", "/mnt/disk1", true},
		"slashes":                            {"/pvc-1", "8:2", "/mnt//disks/pvc-1/", true},
		"another volume":                     {"/var/local/pvc-2", "8:1", "/var/local/pvc-1", false},
		"a folder of the volume":             {"/var/local/pvc-1/etc", "8:1", "/var/local/pvc-1", false},
		"the node's whole filesystem":        {"/", "8:1", "/var/local/pvc-1", false},
		"a volume that is the node's root":   {"/", "8:2", "/", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := checkHostPath(&info{root: c.root, majorMinor: c.majorMinor}, c.path, "8:1")
			if c.ok && err != nil {
				t.Fatal(err)
			}
			if !c.ok {
				wantInvalid(t, err)
			}
		})
	}
}
