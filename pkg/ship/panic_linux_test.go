// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// trap panics at the n-th call of one operation.
type trap struct {
	at   string
	left atomic.Int64
}

func (t *trap) call(op string) {
	if op == t.at && t.left.Add(-1) == -1 {
		panic("defect in " + op)
	}
}

type trapSource struct {
	fsread.Source
	trap *trap
}

func (s *trapSource) LeaveOut(m tree.Mask) { s.trap.call("LeaveOut"); s.Source.LeaveOut(m) }

func (s *trapSource) Root() (fsread.Node, error) { s.trap.call("Root"); return s.Source.Root() }

func (s *trapSource) ReadDir(path string) (fsread.Dir, error) {
	s.trap.call("ReadDir")
	return s.Source.ReadDir(path)
}

func (s *trapSource) Details(n *fsread.Node) error {
	s.trap.call("Details")
	return s.Source.Details(n)
}

func (s *trapSource) Open(n *fsread.Node) (fsread.Content, error) {
	s.trap.call("Open")
	c, err := s.Source.Open(n)
	return &trapContent{c, s.trap}, err
}

type trapContent struct {
	fsread.Content
	trap *trap
}

func (c *trapContent) ReadAt(b []byte, off int64) (int, error) {
	c.trap.call("ReadAt")
	return c.Content.ReadAt(b, off)
}

type trapTarget struct {
	fswrite.Target
	trap *trap
}

func (t *trapTarget) Probe(m tree.Mask, size int64) error {
	t.trap.call("Probe")
	return t.Target.Probe(m, size)
}

func (t *trapTarget) Examine() error { t.trap.call("Examine"); return t.Target.Examine() }

func (t *trapTarget) Sync() error { t.trap.call("Sync"); return t.Target.Sync() }

func (t *trapTarget) Source(m tree.Mask) (fsread.Source, error) {
	t.trap.call("Source")
	s, err := t.Target.Source(m)
	return &trapSource{s, t.trap}, err
}

func (t *trapTarget) Create(p fswrite.Place) (fswrite.File, error) {
	t.trap.call("Create")
	return t.Target.Create(p)
}

func (t *trapTarget) Mkdir(path string) error { t.trap.call("Mkdir"); return t.Target.Mkdir(path) }

func (t *trapTarget) Describe(e *tree.Entry) (fsread.Node, error) {
	t.trap.call("Describe")
	return t.Target.Describe(e)
}

func (t *trapTarget) Arrive(staged uint64, e *tree.Entry, keep bool) (fsread.Node, bool, error) {
	t.trap.call("Arrive")
	return t.Target.Arrive(staged, e, keep)
}

// logBuffer is a log that two ends may write to.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestAPanicEndsOnlyItsShipment panics in each goroutine of both ends. Without the guards the
// test's own process ends.
func TestAPanicEndsOnlyItsShipment(t *testing.T) {
	try := func(t *testing.T, p *shiptest.Pair, op string, atSource bool) {
		t.Helper()
		var log logBuffer
		p.Send.Logger = slog.New(slog.NewTextHandler(&log, nil))
		p.Recv.Logger = p.Send.Logger
		out := p.Try(t.Context())
		err := out.RecvErr
		if atSource {
			err = out.SendErr
		}
		if fault.Of(err) != fault.Internal || !strings.Contains(err.Error(), "defect in "+op) {
			t.Errorf("sender: %v; receiver: %v", out.SendErr, out.RecvErr)
		}
		if !strings.Contains(log.String(), "stack=") {
			t.Errorf("the stack is not logged: %s", log.String())
		}
	}
	prepare := func(t *testing.T) (*shiptest.Pair, *shiptest.Maker) {
		p := shiptest.NewPair(t)
		m := shiptest.At(t, p.Source)
		m.Dir("dir")
		m.File("dir/small", []byte("small"))
		m.File("large", shiptest.Noise("large", 3<<20))
		return p, m
	}
	for _, op := range []string{"LeaveOut", "Root", "ReadDir", "Details", "Open", "ReadAt"} {
		t.Run("source/"+op, func(t *testing.T) {
			t.Parallel()
			p, _ := prepare(t)
			p.OpenSource = func() (ship.Source, func()) {
				s, closeIt := openSource(t, p.Source)
				return &trapSource{s, &trap{at: op}}, closeIt
			}
			try(t, p, op, true)
		})
	}
	target := func(p *shiptest.Pair, t *testing.T, tr *trap) {
		p.Dest = func() (ship.Target, func()) {
			d, closeIt := openTarget(t, p.Target)
			return &trapTarget{d, tr}, closeIt
		}
	}
	for _, op := range []string{"Probe", "Source", "Root", "ReadDir", "Examine", "Create", "Mkdir", "Sync", "Describe"} {
		t.Run("target/"+op, func(t *testing.T) {
			t.Parallel()
			p, _ := prepare(t)
			target(p, t, &trap{at: op})
			try(t, p, op, false)
		})
	}
	t.Run("target/Arrive", func(t *testing.T) {
		t.Parallel()
		p, m := prepare(t)
		p.Mirror()
		m.File("dir/small", []byte("other"))
		target(p, t, &trap{at: "Arrive"})
		try(t, p, "Arrive", false)
		p.Dest = nil
		p.Mirror()
	})
	t.Run("source/BeforeVerify", func(t *testing.T) {
		t.Parallel()
		p, _ := prepare(t)
		p.Send.BeforeVerify = func(context.Context) error { panic("defect in BeforeVerify") }
		try(t, p, "BeforeVerify", true)
	})
	t.Run("source/connections", func(t *testing.T) {
		t.Parallel()
		p, _ := prepare(t)
		var n atomic.Int32
		p.Dialling = func(context.Context) error {
			if n.Add(1) > 1 {
				panic("defect in Dialling")
			}
			return nil
		}
		try(t, p, "Dialling", true)
	})
}

func openSource(t *testing.T, path string) (ship.Source, func()) {
	root, err := os.Open(path)
	must(t, err)
	s, err := fsread.OpenTree(root, fsread.Options{})
	must(t, err)
	return s, func() { _ = s.Close(); _ = root.Close() }
}

func openTarget(t *testing.T, path string) (ship.Target, func()) {
	root, err := os.Open(path)
	must(t, err)
	d, err := fswrite.OpenTree(root, fswrite.Options{})
	must(t, err)
	return d, func() { _ = d.Close(); _ = root.Close() }
}
