// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// A disk that loses writes for a while: a filesystem in an image, in a tmpfs that is full.
// restore gives the tmpfs room.
func withFullDisk(t *testing.T) (dir string, restore func(), remount func(), ok bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystem can be mounted here")
		return "", nil, nil, false
	}
	pool, dir := t.TempDir(), t.TempDir()
	image := filepath.Join(pool, "img")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	must(t, unix.Mount("none", pool, "tmpfs", 0, "size=80M"))
	t.Cleanup(func() { unmount(t, pool) })
	shiptest.At(t, "/").Size(image, 1<<30)
	run("mkfs.xfs", "-q", image)
	mount := func() { run("mount", "-o", "loop", image, dir) }
	mount()
	t.Cleanup(func() { unmount(t, dir) })
	restore = func() { must(t, unix.Mount("none", pool, "", unix.MS_REMOUNT, "size=1G")) }
	return dir, restore, func() { unmount(t, dir); mount() }, true
}

// Pages whose writeback failed are clean and hold what the disk does not. No later run may take
// them for what the target has.
func TestFailedWritebackIsNotBelieved(t *testing.T) {
	for _, state := range []string{"with the state", "without the state"} {
		t.Run(state, func(t *testing.T) {
			dir, restore, remount, ok := withFullDisk(t)
			if !ok {
				return
			}
			p := shiptest.NewPair(t)
			p.Target = filepath.Join(dir, "target")
			must(t, os.Mkdir(p.Target, 0o755))
			m := shiptest.At(t, p.Source)
			for i := range 120 {
				m.File(fmt.Sprintf("f%d", i), shiptest.Noise(fmt.Sprint(i), 1<<20))
				m.File(fmt.Sprintf("s%d", i), shiptest.Noise(fmt.Sprint("s", i), 9000))
			}
			for range 3 {
				if o := p.Try(t.Context()); o.RecvErr == nil {
					t.Fatal("120 MiB fit on a disk of 80 MiB")
				}
				if state == "without the state" {
					must(t, os.RemoveAll(p.TargetState))
				}
			}
			restore()
			for try := 0; ; try++ {
				o := p.Try(t.Context())
				if o.RecvErr == nil && o.SendErr == nil {
					break
				}
				if try == 5 {
					t.Fatalf("the disk works again, but: %v, %v", o.SendErr, o.RecvErr)
				}
				if errors.Is(o.RecvErr, unix.EIO) { // XFS shuts down when its metadata cannot be written
					remount()
				}
			}
			remount()
			p.Same()
		})
	}
}

// State belongs to one volume: another one in its place is read.
func TestStateOfAnotherVolumeIsNotBelieved(t *testing.T) {
	t.Run("target device", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Log("not root: no loop devices here")
			return
		}
		p := imagePair(t, nil)
		other := p.Target + ".other"
		shiptest.At(t, "/").Size(other, 8<<20+512)
		p.Recv.TrustTarget = true
		image := p.Target
		p.Target = loopDevice(t, image)
		p.Ship()
		sameImage(t, p)
		p.Target = loopDevice(t, other)
		p.Ship()
		sameImage(t, p)
	})
	t.Run("directory that was created again", func(t *testing.T) {
		p := shiptest.NewPair(t)
		p.Recv.TrustTarget = true
		shiptest.At(t, p.Source).File("a", []byte("x"))
		p.Mirror()
		must(t, os.RemoveAll(p.Target))
		must(t, os.Mkdir(p.Target, 0o755))
		p.Mirror()
	})
}

// A block device has no timestamps: it is read.
func TestOverwrittenDeviceIsRepaired(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: no loop devices here")
		return
	}
	p := imagePair(t, nil)
	p.Target = loopDevice(t, p.Target)
	p.Ship()
	f, err := os.OpenFile(p.Target, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 1<<20), 512<<10)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	p.Ship()
	sameImage(t, p)
}

// What --verify finds, timestamps did not show. The next sync must not believe them either.
func TestVerifyFindsAndTheNextSyncRepairs(t *testing.T) {
	dir, image, ok := filesystem(t, 64<<20, "noatime")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Target = filepath.Join(dir, "target")
	must(t, os.Mkdir(p.Target, 0o755))
	text := strings.Repeat("seldom seen ", 20_000)
	shiptest.At(t, p.Source).File("a", []byte(text))
	p.Mirror()
	// The disk changes behind the filesystem.
	unmount(t, dir)
	raw, err := os.ReadFile(image)
	must(t, err)
	at := strings.Index(string(raw), text[:4096])
	if at < 0 {
		t.Fatal("the content is not found on the disk")
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("CHANGED"), int64(at))
	must(t, err)
	must(t, f.Close())
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	p.Recv.Verify = true
	if o := p.Try(t.Context()); fault.Of(o.RecvErr) != fault.DigestMismatch {
		t.Fatalf("the changed disk was not noticed: %v", o.RecvErr)
	}
	p.Mirror()
	p.Recv.Verify = false
	p.Mirror()
}

// loopDevice attaches an image to a loop device.
func loopDevice(t *testing.T, image string) string {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", image).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v\n%s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
	return device
}
