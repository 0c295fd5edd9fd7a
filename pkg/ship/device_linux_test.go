// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// images makes p ship between two image files or devices instead of directories.
func images(p *shiptest.Pair) {
	open := func(path string, flag int) *os.File {
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			p.T.Fatal(err)
		}
		return f
	}
	p.OpenSource = func() (ship.Source, func()) {
		f := open(p.Source, os.O_RDONLY)
		v, err := fsread.OpenDevice(f, p.Scan)
		if err != nil {
			p.T.Fatal(err)
		}
		return v, func() { _, _ = v.Close(), f.Close() }
	}
	p.Dest = func() (ship.Target, func()) {
		f := open(p.Target, os.O_RDWR)
		d, err := fswrite.OpenDevice(f, fswrite.Options{})
		if err != nil {
			p.T.Fatal(err)
		}
		return d, func() { _, _ = d.Close(), f.Close() }
	}
}

// imagePair makes an image pair: a source with data and holes, and a target of the size.
func imagePair(t *testing.T, target []byte) *shiptest.Pair {
	p := shiptest.NewPair(t)
	p.Source, p.Target = p.Source+".img", p.Target+".img"
	images(p)
	m := shiptest.At(t, "/")
	m.Size(p.Source, 8<<20+512)
	m.Write(p.Source, 100_000, shiptest.Noise("img", 2<<20))
	m.Write(p.Source, 8<<20, []byte("end"))
	if err := os.WriteFile(p.Target, target, 0o600); err != nil {
		t.Fatal(err)
	}
	if len(target) == 0 {
		m.Size(p.Target, 8<<20+512)
	}
	return p
}

func sameImage(t *testing.T, p *shiptest.Pair) {
	t.Helper()
	a, err := os.ReadFile(p.Source)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(p.Target)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < len(a) || !bytes.Equal(a, b[:len(a)]) {
		t.Fatal("the images differ")
	}
}

func TestAnImageIsCopiedAndThenOnlyItsChangesAre(t *testing.T) {
	p := imagePair(t, nil)
	if o := p.Ship(); !o.Sent.Verified || o.Sent.SentBytes > 2<<20+64<<10 {
		t.Fatalf("first: %+v", o.Sent)
	}
	sameImage(t, p)
	if n := shiptest.BlocksOf(t, p.Target); n > 3<<20 {
		t.Errorf("holes were written: the target occupies %d bytes", n)
	}
	m := shiptest.At(t, "/")
	m.Write(p.Source, 150_000, []byte("changed"))
	m.Must(punch(p.Source, 1<<20, 1<<19))
	o := p.Ship()
	sameImage(t, p)
	if o.Sent.SentBytes != 16<<10 {
		t.Errorf("one changed leaf, but %d bytes sent", o.Sent.SentBytes)
	}
	// Its stamp was too young to be settled; now it is.
	if o := p.Ship(); !o.Sent.Unchanged {
		t.Errorf("unchanged, but %+v", o.Sent)
	}
	if o := p.Ship(); !o.Sent.Unchanged || stampsTrusted(p) && o.Sent.ReadBytes != 0 || o.Received.WireBytes > 1000 {
		t.Errorf("unchanged and settled, but %+v", o.Sent)
	}
}

// stampsTrusted says whether the tests run on a filesystem whose stamps spare reading.
func stampsTrusted(p *shiptest.Pair) bool {
	v, done := p.OpenSource()
	defer done()
	return v.Info().Trusted
}

func TestZerosAreWrittenOverWhatAnImageHeldBefore(t *testing.T) {
	p := imagePair(t, bytes.Repeat([]byte{0xee}, 9<<20))
	p.Ship()
	sameImage(t, p)
	got, err := os.ReadFile(p.Target)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[8<<20+512:], bytes.Repeat([]byte{0xee}, 1<<20-512)) {
		t.Error("bytes behind the source's end were touched")
	}
}

func TestATargetSmallerThanTheSourceIsRefusedBeforeAByteIsWritten(t *testing.T) {
	small := bytes.Repeat([]byte{0xee}, 8<<20)
	p := imagePair(t, small)
	o := p.Try(context.Background())
	if fault.Of(o.SendErr) != fault.TargetTooSmall || fault.Of(o.RecvErr) != fault.TargetTooSmall {
		t.Fatalf("sender %v, receiver %v", o.SendErr, o.RecvErr)
	}
	if got, _ := os.ReadFile(p.Target); !bytes.Equal(got, small) {
		t.Error("the target was written")
	}
}

func TestADirectoryIsNotShippedIntoAnImage(t *testing.T) {
	p := imagePair(t, nil)
	p.Source = strings.TrimSuffix(p.Source, ".img")
	p.OpenSource = nil
	if o := p.Try(context.Background()); fault.Of(o.SendErr) != fault.TargetUnsupported || fault.Of(o.RecvErr) != fault.TargetUnsupported {
		t.Fatalf("sender %v, receiver %v", o.SendErr, o.RecvErr)
	}
}

// Loop devices need root; where the tests run without, the tests above cover everything but
// the ioctls of real devices.
func TestBlockDevicesAreCopiedAndThenOnlyTheirChangesAre(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: no loop devices")
		return
	}
	p := imagePair(t, bytes.Repeat([]byte{0xee}, 8<<20+4096))
	shiptest.At(t, "/").Size(p.Source, 8<<20+4096)
	source, target := p.Source, p.Target
	p.Source, p.Target = loop(t, source), loop(t, target)
	p.Ship()
	sameImage(t, p)
	o := p.Ship()
	if !o.Sent.Unchanged || o.Sent.ReadBytes != 8<<20+4096 || o.Received.Strength != ship.Transport {
		t.Errorf("a device has no stamps, so it must be read whole: %+v, %s", o.Sent, o.Received.Strength)
	}
	shiptest.At(t, "/").Write(p.Source, 3<<20, []byte("changed"))
	p.Recv.Verify = true
	if o = p.Ship(); o.Sent.SentBytes != 16<<10 || o.Received.Strength != ship.Readback {
		t.Errorf("one leaf changed: %+v, %s", o.Sent, o.Received.Strength)
	}
	sameImage(t, p)
}

func loop(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Fatal("losetup: ", err)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", dev).Run(); err != nil {
			t.Error("losetup -d: ", err)
		}
	})
	return dev
}
