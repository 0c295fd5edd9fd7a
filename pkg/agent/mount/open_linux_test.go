// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// inside is set in the process that runs in a mount namespace of its own.
const inside = "MOTION_MOUNT_TEST_INSIDE"

// TestMain runs the tests in a mount namespace of their own, so that they can
// mount what the kubelet would and leave nothing behind. Whoever is not root
// gets a user namespace besides.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a mount namespace, which this machine does not give:", err)
		os.Exit(1)
	}
}

// node is a node's filesystem: a pods folder and disks, each a tmpfs.
type node struct {
	t     *testing.T
	pods  string
	disks string
}

func newNode(t *testing.T) *node {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, pods: t.TempDir(), disks: t.TempDir()}
	n.tmpfs(n.pods)
	n.tmpfs(n.disks)
	return n
}

func (n *node) tmpfs(dir string) {
	n.t.Helper()
	n.mkdir(dir)
	n.mount("tmpfs", dir, "tmpfs", 0)
}

func (n *node) bind(from, to string) {
	n.t.Helper()
	n.mkdir(to)
	n.mount(from, to, "", unix.MS_BIND)
}

func (n *node) mount(from, to, fs string, flags uintptr) {
	n.t.Helper()
	if err := unix.Mount(from, to, fs, flags, ""); err != nil {
		n.t.Fatalf("mount %s on %s: %v", from, to, err)
	}
	n.t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
}

func (n *node) mkdir(dir string) {
	n.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
}

// disk makes the folder of a volume with one file in it and returns its path.
func (n *node) disk(name string) string {
	n.t.Helper()
	dir := filepath.Join(n.disks, name)
	n.mkdir(dir)
	if err := os.WriteFile(filepath.Join(dir, "who"), []byte(name), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return dir
}

// first is where the local-volume plugin mounts, sub where subPath does.
func (n *node) first() string {
	return filepath.Join(n.pods, uid, "volumes", "kubernetes.io~local-volume", volume)
}

func (n *node) sub() string {
	return filepath.Join(n.pods, uid, "volume-subpaths", volume, "mount", "2")
}

func (n *node) open(pv *corev1.PersistentVolume) (*os.File, error) {
	n.t.Helper()
	o, err := NewOpener(n.pods)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	f, err := o.OpenTree(mnt(), pv)
	if err == nil {
		n.t.Cleanup(func() { _ = f.Close() })
	}
	return f, err
}

func (n *node) wantWho(f *os.File, err error, want string) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
	fd, err := unix.Openat(int(f.Fd()), "who", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	who := os.NewFile(uintptr(fd), "who")
	defer func() { _ = who.Close() }()
	got := make([]byte, 64)
	k, _ := who.Read(got)
	if string(got[:k]) != want {
		n.t.Errorf("this is volume %q, want %q", got[:k], want)
	}
}

func TestALocalVolumeIsOpenedThroughTheMountPodsMount(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.bind(n.first(), n.sub())
	f, err := n.open(localVolume())
	n.wantWho(f, err, "a")
}

func TestACSIVolumeIsOpenedThroughTheMountPodsMount(t *testing.T) {
	n := newNode(t)
	first := filepath.Join(n.pods, uid, "volumes", "kubernetes.io~csi", volume, "mount")
	n.bind(n.disk("a"), first)
	n.bind(first, n.sub())
	pv := localVolume()
	pv.Spec.Local, pv.Spec.CSI = nil, &corev1.CSIPersistentVolumeSource{Driver: "d", VolumeHandle: "h"}
	f, err := n.open(pv)
	n.wantWho(f, err, "a")
}

func TestAHostPathVolumeIsOpenedThroughTheMountPodsMount(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.sub())
	f, err := n.open(hostPathVolume("/anywhere/on/the/node/a"))
	n.wantWho(f, err, "a")
}

func TestAFolderOnWhichNothingIsMountedIsNoVolume(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.mkdir(n.sub())
	_, err := n.open(localVolume())
	wantInvalid(t, err)
	if !strings.Contains(err.Error(), "not a mount point") {
		t.Errorf("refused for another reason: %v", err)
	}
}

func TestAMissingMountIsNoVolume(t *testing.T) {
	n := newNode(t)
	n.mkdir(filepath.Join(n.pods, uid))
	_, err := n.open(localVolume())
	wantInvalid(t, err)
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("the cause is hidden: %v", err)
	}
}

func TestASymlinkOnTheWayIsNotFollowed(t *testing.T) {
	for _, level := range []string{"", "volume-subpaths", "volume-subpaths/" + volume, "volume-subpaths/" + volume + "/mount", "volume-subpaths/" + volume + "/mount/2"} {
		t.Run("at pod/"+level, func(t *testing.T) {
			n := newNode(t)
			n.bind(n.disk("a"), n.first())
			n.bind(n.first(), n.sub())
			at := filepath.Join(n.pods, uid, level)
			real := filepath.Join(n.pods, "elsewhere")
			if level == "volume-subpaths/"+volume+"/mount/2" {
				// A mount point cannot be renamed; the link stands in its place.
				if err := unix.Unmount(at, 0); err != nil {
					t.Fatal(err)
				}
				n.bind(n.first(), real)
				if err := os.Remove(at); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Rename(at, real); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(real, at); err != nil {
				t.Fatal(err)
			}
			_, err := n.open(localVolume())
			wantInvalid(t, err)
			if !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
				t.Errorf("not refused for the link: %v", err)
			}
		})
	}
}

func TestTheMountOfAnotherVolumeIsRefused(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.bind(n.disk("b"), n.sub())
	_, err := n.open(localVolume())
	wantInvalid(t, err)
}

func TestAPartOfTheVolumeIsRefused(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.mkdir(filepath.Join(n.first(), "part"))
	n.bind(filepath.Join(n.first(), "part"), n.sub())
	_, err := n.open(localVolume())
	wantInvalid(t, err)
}

func TestAVolumeWhosePluginMountedNothingIsRefused(t *testing.T) {
	n := newNode(t)
	n.mkdir(n.first())
	n.bind(n.disk("a"), n.sub())
	_, err := n.open(localVolume())
	wantInvalid(t, err)
}

func TestAVolumeWithTwoFirstMountsIsRefused(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.bind(n.first(), n.sub())
	n.bind(n.disk("a"), filepath.Join(n.pods, uid, "volumes", "kubernetes.io~other", volume))
	_, err := n.open(localVolume())
	wantInvalid(t, err)
}

func TestAHostPathMountOfAnotherFolderIsRefused(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("b"), n.sub())
	_, err := n.open(hostPathVolume("/anywhere/on/the/node/a"))
	wantInvalid(t, err)
}

func TestTheFilesystemOfThePodsFolderIsNoHostPathVolume(t *testing.T) {
	n := newNode(t)
	n.bind(n.pods, n.sub())
	_, err := n.open(hostPathVolume("/anywhere/on/the/node/a"))
	wantInvalid(t, err)
}

func TestAFileIsNoVolume(t *testing.T) {
	n := newNode(t)
	n.mkdir(filepath.Dir(n.sub()))
	if err := os.WriteFile(n.sub(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.mount(filepath.Join(n.disk("a"), "who"), n.sub(), "", unix.MS_BIND)
	_, err := n.open(hostPathVolume("/disks/who"))
	wantInvalid(t, err)
}

func TestTheTopmostOfStackedMountsIsJudged(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.bind(n.first(), n.sub())
	n.bind(n.disk("b"), n.sub())
	_, err := n.open(localVolume())
	wantInvalid(t, err)
}

func TestAClosedVolumeCanBeUnmounted(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.bind(n.first(), n.sub())
	f, err := n.open(localVolume())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(n.sub(), 0); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("unmount of an open volume: %v, want EBUSY", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(n.sub(), 0); err != nil {
		t.Errorf("a descriptor is left over: %v", err)
	}
}

func TestTheLinkToThePodsFolderItselfMayBeASymlink(t *testing.T) {
	n := newNode(t)
	n.bind(n.disk("a"), n.first())
	n.bind(n.first(), n.sub())
	link := filepath.Join(t.TempDir(), "pods")
	if err := os.Symlink(n.pods, link); err != nil {
		t.Fatal(err)
	}
	n.pods = link
	f, err := n.open(localVolume())
	n.wantWho(f, err, "a")
}
