// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// loop makes a loop device of 1 MiB that begins with what.
func loop(t *testing.T, what string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("loop devices are root's to make")
	}
	file := filepath.Join(t.TempDir(), "image")
	content := make([]byte, 1<<20)
	copy(content, what)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).CombinedOutput()
	device := strings.TrimSpace(string(out))
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, device)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", device, err, out)
		}
	})
	return device
}

// plugins is the kubelet's plugins folder.
type plugins struct {
	*node
	dir string
}

func newPlugins(t *testing.T) *plugins {
	n := newNode(t)
	p := &plugins{n, t.TempDir()}
	n.tmpfs(p.dir)
	return p
}

// local and csi are where the kubelet maps a device of volume for pod uid.
func (p *plugins) local() string {
	return filepath.Join(p.dir, "kubernetes.io~local-volume/volumeDevices", volume, uid)
}

func (p *plugins) csi() string {
	return filepath.Join(p.dir, "kubernetes.io/csi/volumeDevices", volume, "dev", uid)
}

// mapDevice does what the kubelet does with a device, or any file.
func (p *plugins) mapDevice(from, to string) {
	p.t.Helper()
	p.mkdir(filepath.Dir(to))
	if err := os.WriteFile(to, nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.mount(from, to, "", unix.MS_BIND)
}

func (p *plugins) openDevice(write bool) (*Device, error) {
	p.t.Helper()
	d, err := NewDevices(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	return d.Open(volume, uid, write)
}

func TestADeviceIsOpenedWhereTheKubeletMappedIt(t *testing.T) {
	for name, at := range map[string]func(*plugins) string{"of a local volume": (*plugins).local, "of a CSI driver": (*plugins).csi} {
		t.Run(name, func(t *testing.T) {
			p := newPlugins(t)
			device := loop(t, "the volume")
			p.mapDevice(device, at(p))
			d, err := p.openDevice(true)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.Close() }()
			var st unix.Stat_t
			if err := unix.Stat(device, &st); err != nil || unix.Mkdev(d.Major, d.Minor) != st.Rdev {
				t.Errorf("it is device %d:%d, not %s: %v", d.Major, d.Minor, device, err)
			}
			got := make([]byte, 10)
			if _, err := d.File.ReadAt(got, 0); err != nil || !bytes.Equal(got, []byte("the volume")) {
				t.Errorf("it holds %q: %v", got, err)
			}
			if _, err := d.File.WriteAt([]byte("new"), 0); err != nil {
				t.Errorf("it cannot be written: %v", err)
			}
		})
	}
}

func TestADeviceThatIsOnlyReadCannotBeWritten(t *testing.T) {
	p := newPlugins(t)
	p.mapDevice(loop(t, "the volume"), p.local())
	d, err := p.openDevice(false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for _, f := range []*os.File{d.File, d.Direct} {
		if _, err := f.WriteAt(make([]byte, 4096), 0); err == nil {
			t.Error("a descriptor for reading writes")
		}
	}
}

func TestADeviceThatTheNodeUsesIsNotOpenedForWriting(t *testing.T) {
	p := newPlugins(t)
	device := loop(t, "")
	p.mapDevice(device, p.local())
	held, err := unix.Open(device, unix.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0) // as mount(2) does
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(held) }()
	if _, err := p.openDevice(true); fault.Reason(err) != v1alpha1.ReasonNotExclusive {
		t.Errorf("error %v", err)
	}
	d, err := p.openDevice(false)
	if err != nil {
		t.Fatalf("reading is refused, too: %v", err)
	}
	_ = d.Close()
}

func TestWhatIsNoMappedDeviceIsRefused(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, p *plugins){
		"nothing":        func(*testing.T, *plugins) {},
		"a regular file": func(_ *testing.T, p *plugins) { p.mapDevice(filepath.Join(p.disk("a"), "who"), p.local()) },
		"a device that nobody mounted there": func(t *testing.T, p *plugins) {
			p.mkdir(filepath.Dir(p.local()))
			if err := unix.Mknod(p.local(), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
				t.Skip(err)
			}
		},
		"a link to a device": func(t *testing.T, p *plugins) {
			p.mkdir(filepath.Dir(p.local()))
			if err := os.Symlink(loop(t, ""), p.local()); err != nil {
				t.Fatal(err)
			}
		},
		"a device under a link": func(t *testing.T, p *plugins) {
			p.mapDevice(loop(t, ""), filepath.Join(p.dir, "elsewhere", uid))
			p.mkdir(filepath.Dir(filepath.Dir(p.local())))
			if err := os.Symlink(filepath.Join(p.dir, "elsewhere"), filepath.Dir(p.local())); err != nil {
				t.Fatal(err)
			}
		},
		"one device too many": func(t *testing.T, p *plugins) {
			p.mapDevice(loop(t, ""), p.local())
			p.mapDevice(loop(t, ""), p.csi())
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlugins(t)
			prepare(t, p)
			d, err := p.openDevice(false)
			if err == nil {
				_ = d.Close()
			}
			wantInvalid(t, err)
		})
	}
}

func TestNamesThatLeadElsewhereAreNoNames(t *testing.T) {
	p := newPlugins(t)
	d, err := NewDevices(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for _, name := range []string{"", ".", "..", "../../etc", "a/b", "a\x00b"} {
		if _, err := d.Open(name, uid, false); err == nil {
			t.Errorf("volume %q is taken", name)
		}
		if _, err := d.Open(volume, name, false); err == nil {
			t.Errorf("pod %q is taken", name)
		}
	}
}

func TestTheKubeletsLinkToABlockVolumeMustBeThere(t *testing.T) {
	n := newNode(t)
	mnt := &authz.Mount{PodName: "mount", PodUID: uid, Block: true}
	o, err := NewOpener(n.pods)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	at := filepath.Join(n.pods, uid, "volumeDevices", "kubernetes.io~local-volume", volume)
	wantInvalid(t, o.CheckDevice(mnt, volume))
	n.mkdir(at)
	wantInvalid(t, o.CheckDevice(mnt, volume)) // a folder
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/anything", at); err != nil {
		t.Fatal(err)
	}
	if err := o.CheckDevice(mnt, volume); err != nil {
		t.Errorf("the kubelet's link is refused: %v", err)
	}
	wantInvalid(t, o.CheckDevice(mnt, "other"))
}
