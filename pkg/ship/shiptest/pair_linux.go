// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package shiptest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// Timeout bounds one pass of a test, so that a hang is a failure.
const Timeout = 5 * time.Minute

// Pair is a source and a target with their states, shipped within one process.
type Pair struct {
	T                        testing.TB
	Source, Target           string
	SourceState, TargetState string

	// OpenSource and Dest, when set, replace the plain ship.Source over Source and the plain ship.Target over Target.
	OpenSource func() (ship.Source, func())
	Dest       func() (ship.Target, func())
	Scan       fsread.Options
	Send       ship.SendOptions
	Recv       ship.ReceiveOptions
	// Dialling, when set, is called before each connection of the sender is made, concurrently.
	Dialling func(context.Context) error
	// Wrap, when set, is given each connection of the sender.
	Wrap func(net.Conn) net.Conn
	// Secure authenticates and encrypts the connections by package link.
	Secure bool
}

// NewPair makes a pair of empty directories below a temporary one.
func NewPair(t testing.TB) *Pair {
	dir := t.TempDir()
	p := &Pair{
		T: t, Source: filepath.Join(dir, "source"), Target: filepath.Join(dir, "target"),
		SourceState: filepath.Join(dir, "source-state"), TargetState: filepath.Join(dir, "target-state"),
	}
	for _, d := range []string{p.Source, p.Target} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unflag(dir) })
	p.Send.SpecialFiles, p.Recv.SpecialFiles = ship.Preserve, ship.Preserve
	return p
}

// Outcome is how a pass ended at both ends.
type Outcome struct {
	Sent, Received   ship.Result
	SendErr, RecvErr error
}

// Ship runs one pass that must succeed.
func (p *Pair) Ship() Outcome {
	p.T.Helper()
	o := p.Try(context.Background())
	if o.SendErr != nil || o.RecvErr != nil {
		p.T.Fatalf("sender: %v\nreceiver: %v", o.SendErr, o.RecvErr)
	}
	return o
}

// Same fails when the two trees differ.
func (p *Pair) Same() {
	p.T.Helper()
	diff, err := Compare(p.Source, p.Target)
	if err != nil {
		p.T.Fatal(err)
	}
	for _, line := range diff {
		p.T.Error(line)
	}
	if len(diff) > 0 {
		p.T.FailNow()
	}
}

// Mirror ships, and fails unless the target is verified and equal.
func (p *Pair) Mirror() Outcome {
	p.T.Helper()
	o := p.Ship()
	if !o.Sent.Verified || !o.Received.Verified || o.Sent.Digest != o.Received.Digest || o.Sent.Digest == "" {
		p.T.Fatalf("not verified, or digests differ: %+v\n%+v", o.Sent, o.Received)
	}
	p.Same()
	return o
}

// Try runs one pass until both ends have returned.
func (p *Pair) Try(ctx context.Context) Outcome {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.T.Fatal(err)
	}
	defer l.Close()
	dial, accept := p.connect(l)
	var out Outcome
	var both sync.WaitGroup
	// When one end gives up the other would wait for it.
	soon := func(err error) {
		if err != nil {
			time.AfterFunc(300*time.Millisecond, cancel)
		}
	}
	both.Go(func() {
		out.SendErr = p.send(ctx, dial, &out.Sent)
		soon(out.SendErr)
	})
	both.Go(func() {
		out.RecvErr = p.receive(ctx, accept, &out.Received)
		soon(out.RecvErr)
	})
	both.Wait()
	return out
}

func (p *Pair) connect(l net.Listener) (dial, accept ship.Conn) {
	var d net.Dialer
	dial = func(ctx context.Context) (net.Conn, error) {
		if p.Dialling != nil {
			if err := p.Dialling(ctx); err != nil {
				return nil, err
			}
		}
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err == nil && p.Wrap != nil {
			c = p.Wrap(c)
		}
		return c, err
	}
	accept = func(ctx context.Context) (net.Conn, error) {
		stop := context.AfterFunc(ctx, func() { _ = l.Close() })
		defer stop()
		return l.Accept()
	}
	if p.Secure {
		return p.secure(dial, accept)
	}
	return dial, accept
}

func (p *Pair) secure(dial, accept ship.Conn) (ship.Conn, ship.Conn) {
	key := func() *link.Key {
		k, err := link.NewKey()
		if err != nil {
			p.T.Fatal(err)
		}
		return k
	}
	a, b := key(), key()
	sender := link.Local{Key: a, UID: "source-uid", Role: link.Sender, Sync: p.Send.Sync}
	receiver := link.Local{Key: b, UID: "target-uid", Role: link.Receiver, Sync: p.Recv.Sync}
	return func(ctx context.Context) (net.Conn, error) {
			raw, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return link.Dial(ctx, raw, sender, link.Peer{UID: receiver.UID, KeySHA256: b.SHA256()})
		}, func(ctx context.Context) (net.Conn, error) {
			raw, err := accept(ctx)
			if err != nil {
				return nil, err
			}
			preface, err := link.ReadPreface(raw)
			if err != nil {
				return nil, err
			}
			return link.Accept(ctx, raw, preface, receiver, link.Peer{UID: sender.UID, KeySHA256: a.SHA256()})
		}
}

func (p *Pair) send(ctx context.Context, dial ship.Conn, out *ship.Result) error {
	st, err := ship.OpenState(p.SourceState, "volume")
	if err != nil {
		return err
	}
	defer st.Close()
	source, done, err := p.source()
	if err != nil {
		return err
	}
	defer done()
	*out, err = ship.Send(ctx, source, dial, st, p.Send)
	return err
}

func (p *Pair) source() (ship.Source, func(), error) {
	if p.OpenSource != nil {
		v, done := p.OpenSource()
		return v, done, nil
	}
	root, err := os.Open(p.Source)
	if err != nil {
		return nil, nil, err
	}
	v, err := fsread.OpenTree(root, p.Scan)
	return v, func() { _ = root.Close() }, err
}

func (p *Pair) receive(ctx context.Context, accept ship.Conn, out *ship.Result) error {
	st, err := ship.OpenState(p.TargetState, "volume")
	if err != nil {
		return err
	}
	defer st.Close()
	if p.Dest != nil {
		t, done := p.Dest()
		defer done()
		*out, err = ship.Receive(ctx, t, accept, st, p.Recv)
		return err
	}
	root, err := os.Open(p.Target)
	if err != nil {
		return err
	}
	defer root.Close()
	t, err := fswrite.OpenTree(root, fswrite.Options{})
	if err != nil {
		return err
	}
	*out, err = ship.Receive(ctx, t, accept, st, p.Recv)
	return errors.Join(err, t.Close())
}

// On makes the pair's target one that wrap puts around the plain one.
func (p *Pair) On(wrap func(ship.Target) ship.Target) {
	p.Dest = func() (ship.Target, func()) {
		root, err := os.Open(p.Target)
		if err != nil {
			p.T.Fatal(err)
		}
		plain, err := fswrite.OpenTree(root, fswrite.Options{})
		if err != nil {
			p.T.Fatal(err)
		}
		return wrap(plain), func() { _, _ = plain.Close(), root.Close() }
	}
}
