// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// pipes joins one end under test with a hand-written other end.
type pipes struct {
	t    *testing.T
	l    net.Listener
	dial func() net.Conn
}

func newPipes(t *testing.T) *pipes {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return &pipes{t: t, l: l, dial: func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(shiptest.Timeout))
		return c
	}}
}

func (p *pipes) accept(ctx context.Context) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.l.Close() })
	defer stop()
	return p.l.Accept()
}

// attacker speaks the sender's side by hand.
type attacker struct {
	*pipes
	control, data net.Conn
	session       [16]byte
	seq           uint64
}

func (a *attacker) say(c net.Conn, m wire.Message) {
	_, _ = c.Write(wire.AppendMessage(nil, m))
}

// begin greets and waits until the target's base is told.
func (a *attacker) begin() {
	a.control = a.dial()
	a.say(a.control, wire.Open{Version: wire.Version, Session: a.session})
	a.say(a.control, wire.Hello{Mask: tree.MaskSELinux, Preserve: true})
	for {
		m, err := wire.ReadMessage(a.control, wire.FromReceiver)
		must(a.t, err)
		if b, ok := m.(wire.Base); ok && b.Last {
			break
		}
	}
	a.data = a.dial()
	a.say(a.data, wire.Open{Version: wire.Version, Session: a.session, Index: 1})
}

func (a *attacker) frame(seq uint64, ops ...wire.Op) {
	var raw []byte
	for i := range ops {
		raw = wire.AppendOp(raw, &ops[i])
	}
	body := new(wire.Packer).Pack(nil, raw, true)
	f := wire.Frame{Seq: seq, RawLen: len(raw), Body: body}
	_, _ = a.data.Write(append(wire.AppendFrameHeader(nil, f), body...))
}

func (a *attacker) ops(ops ...wire.Op) {
	a.seq++
	a.frame(a.seq, ops...)
}

// plant sends an operation and waits until the target has carried it out: what comes next
// finds it there.
func (a *attacker) plant(op wire.Op) {
	a.ops(op)
	a.say(a.control, wire.Mark{Seq: a.seq})
	for {
		m, err := wire.ReadMessage(a.control, wire.FromReceiver)
		must(a.t, err)
		if ack, ok := m.(wire.Ack); ok && ack.Seq == a.seq {
			return
		}
	}
}

func (a *attacker) done() { a.say(a.control, wire.Done{Last: a.seq, Verify: true}) }

func meta(path string, kind tree.Kind) tree.Entry {
	e := tree.Entry{Path: path, Kind: kind, Mode: 0o700, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if kind == tree.Symlink {
		e.Mode = 0
	}
	return e
}

func put(path string, data string) wire.Op {
	e := meta(path, tree.File)
	e.Size, e.Content = int64(len(data)), tree.Content(int64(len(data)), tree.Leaves(nil, []byte(data)))
	return wire.Op{Kind: wire.OpPut, Entry: e, Content: wire.ContentInline, Data: []byte(data)}
}

func symlink(path, to string) wire.Op {
	e := meta(path, tree.Symlink)
	e.Link = to
	return wire.Op{Kind: wire.OpPut, Entry: e}
}

func hardlink(path, first string) wire.Op {
	return wire.Op{Kind: wire.OpPut, Entry: tree.Entry{Path: path, Kind: tree.Hardlink, Link: first}}
}

func dirOp(path string) wire.Op { return wire.Op{Kind: wire.OpPut, Entry: meta(path, tree.Dir)} }

func open(path string, size int64, allocated bool) wire.Op {
	return wire.Op{Kind: wire.OpOpen, Path: path, Size: size, Allocated: allocated}
}

func data(offset int64, n int) wire.Op {
	return wire.Op{Kind: wire.OpData, Offset: offset, Length: int64(n), Data: bytes.Repeat([]byte{1}, n)}
}

var attacks = map[string]func(a *attacker){
	"an empty name":           func(a *attacker) { a.ops(dirOp(""), put("a\x00\x00b", "x")) },
	"a dot":                   func(a *attacker) { a.ops(put(".", "x")) },
	"two dots":                func(a *attacker) { a.ops(put("..", "x")) },
	"two dots inside":         func(a *attacker) { a.ops(dirOp("a"), put("a\x00..\x00..\x00outside\x00evil", "x")) },
	"a slash":                 func(a *attacker) { a.ops(put("../outside/evil", "x")) },
	"an absolute path":        func(a *attacker) { a.ops(put("/etc/evil", "x")) },
	"a long name":             func(a *attacker) { a.ops(put(strings.Repeat("n", 256), "x")) },
	"the root deleted":        func(a *attacker) { a.ops(wire.Op{Kind: wire.OpDelete}) },
	"the root as a file":      func(a *attacker) { a.ops(put("", "x")) },
	"through a symlink":       func(a *attacker) { a.plant(symlink("a", "../outside")); a.ops(put("a\x00evil", "x")) },
	"through one, one frame":  func(a *attacker) { a.ops(symlink("a", "../outside"), put("a\x00evil", "x")) },
	"a directory through one": func(a *attacker) { a.plant(symlink("a", "../outside")); a.ops(dirOp("a\x00evil")) },
	"deletes through one": func(a *attacker) {
		a.plant(symlink("a", "../outside"))
		a.ops(wire.Op{Kind: wire.OpDelete, Path: "a\x00secret"}, put("b\x00c", "x"))
	},
	// The last directory of a path and those on the way to it are kept from leading out by different means.
	"through one, deeper": func(a *attacker) { a.plant(symlink("a", "../outside")); a.ops(put("a\x00sub\x00evil", "x")) },
	"deletes through one, deeper": func(a *attacker) {
		a.plant(symlink("a", "../outside"))
		a.ops(wire.Op{Kind: wire.OpDelete, Path: "a\x00sub\x00secret"})
	},
	"a link through one, deeper": func(a *attacker) { a.plant(symlink("a", "../outside")); a.ops(hardlink("z", "a\x00sub\x00secret")) },
	"a large file through one":   func(a *attacker) { a.plant(symlink("a", "../outside")); a.ops(open("a\x00evil", 1<<20, false)) },
	"a link to outside":          func(a *attacker) { a.ops(hardlink("z", "..\x00outside\x00secret")) },
	"a link through a symlink":   func(a *attacker) { a.plant(symlink("a", "../outside")); a.ops(hardlink("z", "a\x00secret")) },
	"a link to nothing":          func(a *attacker) { a.ops(hardlink("z", "y")) },
	"a link to a later path":     func(a *attacker) { a.ops(hardlink("a", "b")) },
	"a huge file":                func(a *attacker) { a.ops(open("a", 1<<62, false)) },
	"a huge allocated file":      func(a *attacker) { a.ops(open("a", 1<<50, true)) },
	"data beyond the size":       func(a *attacker) { a.ops(open("a", 100, false), data(16384, 100)) },
	"data that overflows":        func(a *attacker) { a.ops(open("a", 1<<20, false), data(1<<62, 100)) },
	"data twice":                 func(a *attacker) { a.ops(open("a", 1<<20, false), data(0, 16384), data(0, 16384)) },
	"data without a file":        func(a *attacker) { a.ops(data(0, 100)) },
	"an end without a file": func(a *attacker) {
		op := put("a", "x")
		op.Content, op.Data = wire.ContentOpen, nil
		a.ops(op)
	},
	"a file that never ends":  func(a *attacker) { a.ops(open("a", 1<<20, false)); a.ops(put("b", "x")) },
	"a patch of nothing":      func(a *attacker) { a.ops(wire.Op{Kind: wire.OpOpen, Path: "a", Size: 1 << 20, Patch: true}) },
	"content kept of nothing": func(a *attacker) { op := put("a", "x"); op.Content, op.Data = wire.ContentKept, nil; a.ops(op) },
	"content not as announced": func(a *attacker) {
		op := put("a", "x")
		op.Data = []byte("y")
		a.ops(op)
	},
	"paths out of order":     func(a *attacker) { a.ops(put("b", "x"), put("a", "x")) },
	"a path twice":           func(a *attacker) { a.ops(put("a", "x")); a.ops(put("a", "y")) },
	"a frame twice":          func(a *attacker) { a.frame(1, dirOp("")); a.frame(1, dirOp("")) },
	"a frame after the last": func(a *attacker) { a.ops(dirOp("")); a.done(); a.frame(2, put("a", "x")) },
	"frame zero":             func(a *attacker) { a.frame(0, dirOp("")) },
	"a lying digest":         func(a *attacker) { a.ops(dirOp("")); a.done() },
	"a frame of 3 GiB": func(a *attacker) {
		_, _ = a.data.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0xc0})
	},
	"a message of 2 GiB": func(a *attacker) { _, _ = a.control.Write([]byte{2, 0, 0, 0, 0x80}) },
	"a bomb": func(a *attacker) {
		zeros := make([]byte, wire.MaxRaw)
		body := new(wire.Packer).Pack(nil, zeros, true)
		f := wire.Frame{Seq: 1, RawLen: 1000, Body: body}
		_, _ = a.data.Write(append(wire.AppendFrameHeader(nil, f), body...))
	},
	"noise": func(a *attacker) { _, _ = a.data.Write(shiptest.Noise("n", 100_000)) },
	"many attributes": func(a *attacker) {
		op := dirOp("")
		for i := range 60_000 {
			op.Entry.Xattrs = append(op.Entry.Xattrs, tree.Xattr{Name: "user." + string(rune('a'+i/26/26/26%26)) + string(rune('a'+i/26/26%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26)), Value: ""})
		}
		a.ops(op)
	},
	"more than fits": func(a *attacker) {
		size := int64(64 << 20)
		a.ops(open("a", size, false))
		for off := int64(0); off < size; off += 512 << 10 {
			a.seq++
			a.frame(a.seq, data(off, 512<<10))
		}
	},
	"a device": func(a *attacker) {
		e := meta("a", tree.CharDevice)
		e.Rdev = 1<<32 | 1
		a.ops(wire.Op{Kind: wire.OpPut, Entry: e})
		a.ops(wire.Op{Kind: wire.OpPut, Entry: tree.Entry{Kind: tree.Image, Size: 1}})
	},
	"a setuid-root file": func(a *attacker) {
		op := put("a", "x")
		op.Entry.UID, op.Entry.GID, op.Entry.Mode = 0, 0, 0o4755
		a.ops(op)
	},
	"done twice":           func(a *attacker) { a.done(); a.done() },
	"commit without a say": func(a *attacker) { a.say(a.control, wire.Commit{}) },
	"bye at once":          func(a *attacker) { a.say(a.control, wire.Bye{}) },
	"hello twice":          func(a *attacker) { a.say(a.control, wire.Hello{}) },
	"a receiver's message": func(a *attacker) { a.say(a.control, wire.Ack{Seq: 1}) },
}

// seenAt are the attacks that the verdict at the end would show too: they must be seen at the
// entry, before it is there.
var seenAt = map[string]fault.Reason{
	"a device": fault.SpecialFileRefused, "a setuid-root file": fault.SpecialFileRefused, "content not as announced": fault.DigestMismatch,
}

// An attacking source never leaves the root, takes no memory to speak of, and ends with a
// clear error at the target.
func TestRule11AnAttackingSourceGetsNowhere(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := shiptest.At(t, dir)
			m.Dir("target")
			m.File("outside/secret", []byte("secret"))
			m.File("outside/sub/secret", []byte("secret"))
			before, err := os.Stat(m.Path("outside"))
			must(t, err)
			a := &attacker{pipes: newPipes(t)}
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			base := memory.TotalAlloc
			var got error
			var wait sync.WaitGroup
			wait.Go(func() { got = receiveFrom(t, a.pipes, m.Path("target"), filepath.Join(dir, "state")) })
			a.begin()
			attack(a)
			a.done() // whoever has not noticed yet must now
			if left := a.drain(); got == nil && left != nil {
				t.Log(left)
			}
			wait.Wait()
			if r := fault.Of(got); r == "" || r == fault.Internal || r == fault.Cancelled || r == fault.ConnectionLost {
				t.Errorf("the target says %q: %v", r, got)
			}
			if want := seenAt[name]; want != "" {
				var said *fault.Error
				if !errors.As(got, &said) || said.Reason != want || said.Path != "a" {
					t.Errorf("the target says %v, not %s of a", got, want)
				}
			}
			runtime.ReadMemStats(&memory)
			if n := memory.TotalAlloc - base; n > 400<<20 {
				t.Errorf("%d MiB were allocated", n>>20)
			}
			after, err := os.Stat(m.Path("outside"))
			must(t, err)
			secret, err := os.ReadFile(m.Path("outside/secret"))
			must(t, err)
			if !before.ModTime().Equal(after.ModTime()) || string(secret) != "secret" || strings.Join(append(entries(t, m.Path("outside")), entries(t, m.Path("outside/sub"))...), " ") != "secret sub secret" {
				t.Errorf("outside the root is %v and %v", entries(t, m.Path("outside")), entries(t, m.Path("outside/sub")))
			}
			if got := strings.Join(entries(t, dir), " "); got != "outside state target" {
				t.Errorf("beside the root is %s", got)
			}
		})
	}
}

// A target's filesystem may be the node's own disk, which the claim's size does not bound.
func TestASourceThatSendsMoreThanTheTargetHoldsFillsNoMore(t *testing.T) {
	const size = 6 << 20
	for what, content := range map[string]func(a *attacker, path string){
		"content": func(a *attacker, path string) {
			a.ops(open(path, size, false))
			for off := int64(0); off < size; off += 512 << 10 {
				a.ops(data(off, 512<<10))
			}
		},
		"room": func(a *attacker, path string) {
			a.ops(open(path, size, true), wire.Op{Kind: wire.OpZero, Length: size})
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			m := shiptest.At(t, dir)
			m.Dir("target")
			a := &attacker{pipes: newPipes(t)}
			var got error
			var wait sync.WaitGroup
			wait.Go(func() { got = receiveFrom(t, a.pipes, m.Path("target"), filepath.Join(dir, "state")) })
			a.begin()
			a.ops(dirOp(""))
			one := byte(1)
			if what == "room" {
				one = 0
			}
			for n := range 8 {
				path := "file" + string(rune('0'+n))
				content(a, path)
				end := put(path, string(bytes.Repeat([]byte{one}, size)))
				end.Content, end.Data, end.Entry.Allocated = wire.ContentOpen, nil, what == "room"
				a.ops(end)
			}
			a.done()
			_ = a.drain()
			wait.Wait()
			if fault.Of(got) != fault.TargetFull {
				t.Errorf("the target says %v", got)
			}
			blocks := blocksBelow(t, m.Path("target"))
			if blocks < size || blocks > 17<<20 {
				t.Errorf("the target holds %d bytes; its capacity is 16 MiB", blocks)
			}
		})
	}
}

// content sends a file of size bytes.
func content(a *attacker, path string, size int64) {
	a.ops(open(path, size, false))
	for off := int64(0); off < size; off += 512 << 10 {
		a.ops(data(off, 512<<10))
	}
	end := put(path, string(bytes.Repeat([]byte{1}, int(size))))
	end.Content, end.Data = wire.ContentOpen, nil
	a.ops(end)
}

// blocksBelow is what the files below dir occupy.
func blocksBelow(t *testing.T, dir string) (blocks int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			blocks += shiptest.BlocksOf(t, path)
		}
		return err
	}))
	return blocks
}

// A session that fails keeps what arrived. A source that comes again and again, with
// other files each time, adds to that no more than the target holds.
func TestASourceThatReconnectsFillsNoMoreThanTheTargetHolds(t *testing.T) {
	for what, verified := range map[string]bool{"an empty target": false, "a target that has a verified generation": true} {
		t.Run(what, func(t *testing.T) {
			p := shiptest.NewPair(t)
			if verified {
				m := shiptest.At(t, p.Source)
				for n := range 4 {
					m.File(fmt.Sprintf("standing%d", n), bytes.Repeat([]byte{1}, 2<<20))
				}
				p.Mirror()
			}
			refused := 0
			for n := range 12 {
				a := &attacker{pipes: newPipes(t)}
				var got error
				var wait sync.WaitGroup
				ctx, gone := context.WithCancel(t.Context())
				wait.Go(func() { got = receiveFromContext(ctx, t, a.pipes, p.Target, p.TargetState) })
				a.begin()
				a.ops(dirOp(""))
				for i := range 2 {
					content(a, fmt.Sprintf("file-%c-%d", 'a'+n, i), 2<<20)
				}
				a.done() // with a digest that is wrong
				if fault.Of(a.drain()) == fault.ConnectionLost {
					// An increment that does not fit beside what the target has goes on in place,
					// when the source comes again: the next round.
					gone()
				}
				wait.Wait()
				gone()
				if fault.Of(got) == fault.TargetFull {
					refused++
				}
			}
			if refused == 0 {
				t.Error("no session was told that the target is full")
			}
			// What is in flight when the target is looked at is not seen.
			if got := blocksBelow(t, p.Target); got > 24<<20 {
				t.Errorf("the target holds %d bytes; its capacity is 16 MiB", got)
			}
		})
	}
}

// drain reads what the target has to say until it hangs up.
func (a *attacker) drain() error {
	for {
		m, err := wire.ReadMessage(a.control, wire.FromReceiver)
		if err != nil {
			return nil //nolint:nilerr // it hung up: that is all there is
		}
		switch m := m.(type) {
		case wire.Verdict:
			a.say(a.control, wire.Commit{})
		case wire.Failure:
			return fault.New(m.Reason, "%s", m.What)
		}
	}
}

func receiveFrom(t *testing.T, p *pipes, target, state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return receiveFromContext(ctx, t, p, target, state)
}

func receiveFromContext(ctx context.Context, t *testing.T, p *pipes, target, state string) error {
	root, err := os.Open(target)
	must(t, err)
	defer root.Close()
	tr, err := fswrite.OpenTree(root, fswrite.Options{})
	must(t, err)
	defer tr.Close()
	st, err := ship.OpenState(state, "volume")
	must(t, err)
	defer st.Close()
	_, err = ship.Receive(ctx, tr, p.accept, st, ship.ReceiveOptions{MaxBytes: 16 << 20, Idle: 2 * time.Second})
	return err
}

// A frame of a session that is over reaches nobody: its connection is not taken.
func TestRule4FramesOfADeadSessionAreNotTaken(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "target"), 0o755))
	p := newPipes(t)
	var got error
	var wait sync.WaitGroup
	wait.Go(func() { got = receiveFrom(t, p, filepath.Join(dir, "target"), filepath.Join(dir, "state")) })
	old := &attacker{pipes: p, session: [16]byte{1}}
	old.begin()
	next := &attacker{pipes: p, session: [16]byte{2}}
	next.begin() // ends the old session
	late := p.dial()
	old.say(late, wire.Open{Version: wire.Version, Session: old.session, Index: 2})
	old.data = late
	old.ops(dirOp(""), put("stale", "x"))
	if n, err := io.Copy(io.Discard, late); err != nil && n != 0 {
		t.Errorf("the old session was answered: %d bytes", n)
	}
	next.ops(dirOp(""), put("fresh", "x"))
	next.done() // with a digest that is wrong: everything was applied before it is said
	_ = next.drain()
	wait.Wait()
	if fault.Of(got) != fault.DigestMismatch {
		t.Errorf("%v", got)
	}
	if names := strings.Join(entries(t, filepath.Join(dir, "target")), " "); names != "fresh" {
		t.Errorf("the target has %q", names)
	}
}

// swapper lets somebody on the target exchange a directory for a symlink in mid-pass.
type swapper struct {
	ship.Target
	swap func()
}

func (s swapper) Create(p fswrite.Place) (fswrite.File, error) {
	if strings.HasPrefix(p.Path, "d\x00") {
		s.swap()
	}
	return s.Target.Create(p)
}

func TestRule11ADirectorySwappedForASymlinkLeadsNowhere(t *testing.T) {
	p := shiptest.NewPair(t)
	m, dst := shiptest.At(t, p.Source), shiptest.At(t, p.Target)
	outside := filepath.Join(filepath.Dir(p.Target), "outside")
	must(t, os.Mkdir(outside, 0o755))
	for _, n := range []string{"1", "2", "3"} {
		m.File("d/"+n, []byte(n))
	}
	var once sync.Once
	p.On(func(plain ship.Target) ship.Target {
		return swapper{plain, func() {
			once.Do(func() {
				must(t, os.Rename(dst.Path("d"), dst.Path("moved")))
				must(t, os.Symlink(outside, dst.Path("d")))
			})
		}}
	})
	o := p.Try(context.Background())
	if o.Received.Verified {
		t.Error("verified all the same")
	}
	if names := entries(t, outside); len(names) != 0 {
		t.Errorf("%v were written outside", names)
	}
	p.Dest = nil
	p.Mirror()
}

// reply is what a hand-written target answers to Hello.
var falseTargets = map[string][]wire.Message{
	"a frame acknowledged that was never sent": {wire.Welcome{InPlace: true}, wire.Ack{Seq: 99}},
	"committed at once":                        {wire.Welcome{InPlace: true}, wire.Committed{Verified: true}},
	"a verdict at once":                        {wire.Welcome{InPlace: true}, wire.Verdict{}},
	"no welcome":                               {wire.Base{Last: true}},
	"two welcomes":                             {wire.Welcome{}, wire.Welcome{}},
	"a base out of order": {wire.Welcome{InPlace: true}, wire.Base{Through: "b", Last: true, Records: []wire.BaseRecord{
		{Entry: meta("", tree.Dir)}, {Entry: meta("b", tree.Dir)}, {Entry: meta("a", tree.Dir)},
	}}},
	"leaves of a file that has none": {
		wire.Welcome{InPlace: true},
		wire.Base{Through: "", Records: []wire.BaseRecord{{Entry: meta("", tree.Dir)}}},
		wire.BaseRows{Rows: make([]byte, 16)},
	},
	"too many leaves": {
		wire.Welcome{InPlace: true},
		wire.Base{Through: "f", Records: []wire.BaseRecord{{Entry: meta("", tree.Dir)}, {Entry: large("f")}}},
		wire.BaseRows{Rows: make([]byte, 16*1000)},
	},
	"leaves that are not the content's": {
		wire.Welcome{InPlace: true},
		wire.Base{Through: "f", Records: []wire.BaseRecord{{Entry: meta("", tree.Dir)}, {Entry: large("f")}}},
		wire.BaseRows{Rows: make([]byte, 16*16)},
	},
	"a sender's message": {wire.Welcome{}, wire.Mark{Seq: 1}},
}

func large(path string) tree.Entry {
	e := meta(path, tree.File)
	e.Size, e.Content[0] = 256<<10, 1
	return e
}

func TestRule11AFalseTargetIsDetected(t *testing.T) {
	for name, replies := range falseTargets {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := shiptest.At(t, dir)
			m.File("source/f", shiptest.Noise("f", 256<<10))
			p := newPipes(t)
			var wait sync.WaitGroup
			ctx, cancel := context.WithTimeout(context.Background(), shiptest.Timeout)
			defer cancel()
			wait.Go(func() {
				for first := true; ; first = false {
					c, err := p.accept(ctx)
					if err != nil {
						return
					}
					if !first {
						wait.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
						continue
					}
					wait.Go(func() {
						defer c.Close()
						for range 2 { // Open, Hello
							if _, err := wire.ReadMessage(c, wire.FromSender); err != nil {
								return
							}
						}
						for _, r := range replies {
							_, _ = c.Write(wire.AppendMessage(nil, r))
						}
						_, _ = io.Copy(io.Discard, c)
					})
				}
			})
			root, err := os.Open(m.Path("source"))
			must(t, err)
			defer root.Close()
			v, err := fsread.OpenTree(root, fsread.Options{})
			must(t, err)
			st, err := ship.OpenState(filepath.Join(dir, "state"), "volume")
			must(t, err)
			defer st.Close()
			_, err = ship.Send(ctx, v, func(context.Context) (net.Conn, error) { return p.dial(), nil }, st, ship.SendOptions{Reconnects: -1})
			if fault.Of(err) != fault.PeerRejected {
				t.Errorf("the source says %q: %v", fault.Of(err), err)
			}
			cancel()
			wait.Wait()
		})
	}
}
