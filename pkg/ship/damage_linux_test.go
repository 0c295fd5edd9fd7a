// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

var damages = map[string]func(b []byte) []byte{
	"cut off":      func(b []byte) []byte { return b[:len(b)/2] },
	"emptied":      func([]byte) []byte { return nil },
	"a bit turned": func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 4; return b },
	"of another version": func(b []byte) []byte {
		return bytes.Replace(bytes.Replace(b, []byte("motion run "), []byte("motion run 9"), 1), []byte("motion head "), []byte("motion head 9"), 1)
	},
}

// Whatever happens to a file of the state: it is noticed, said, and rebuilt.
func TestADamagedStateIsDetectedReportedAndRebuilt(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("large", shiptest.Noise("1", 1<<20))
	m.File("small", []byte("1"))
	p.Mirror()
	m.Write("large", 500_000, []byte("staged"))
	refuse(p) // the target's state has a journal now, the source's a memory
	saved := t.TempDir()
	copyTree(t, filepath.Dir(p.Source), saved)
	for _, side := range []string{"source-state", "target-state"} {
		base := ""
		for _, file := range entries(t, filepath.Join(saved, side, "volume")) {
			if base == "" && strings.HasPrefix(file, "run-") {
				base = file
			}
			// The end of a journal may be missing after every crash: an earlier mark counts then.
			journal := side == "target-state" && file != base && strings.HasPrefix(file, "run-")
			for what, damage := range damages {
				path := filepath.Join(saved, side, "volume", file)
				b, err := os.ReadFile(path)
				must(t, err)
				if file == "lock" || len(b) == 0 || bytes.Equal(damage(b), b) {
					continue
				}
				t.Run(fmt.Sprintf("%s of the %s %s", strings.Split(file, "-")[0]+"-"+fmt.Sprint(len(b)), side, what), func(t *testing.T) {
					q := shiptest.NewPair(t)
					copyTree(t, saved, filepath.Dir(q.Source))
					must(t, os.WriteFile(filepath.Join(filepath.Dir(q.Source), side, "volume", file), damage(b), 0o600))
					var said lockedBuffer
					log := slog.New(slog.NewTextHandler(&said, nil))
					q.Send.Logger, q.Recv.Logger = log, log
					q.Mirror()
					if !journal && !strings.Contains(said.String(), "damaged") {
						t.Errorf("nothing was said of it: %s", said.String())
					}
					q.Mirror()
				})
			}
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAnotherVersionOfTheProtocolIsRefusedClearly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "target"), 0o755))
	p := newPipes(t)
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wait.Go(func() {
		_ = receiveFromContext(ctx, t, p, filepath.Join(dir, "target"), filepath.Join(dir, "state"))
	})
	c := p.dial()
	_, err := c.Write(wire.AppendMessage(nil, wire.Open{Version: wire.Version + 1}))
	must(t, err)
	m, err := wire.ReadMessage(c, wire.FromReceiver)
	must(t, err)
	f, ok := m.(wire.Failure)
	if !ok || f.Reason != fault.PeerVersionMismatch || !strings.Contains(f.What, fmt.Sprint(wire.Version+1)) || !strings.Contains(f.What, fmt.Sprint(wire.Version)) {
		t.Errorf("%+v", m)
	}
	cancel()
	wait.Wait()
}

// A target that hangs - its kernel still answers, its process does not - must not hold the
// source for ever.
func TestASilentTargetEndsTheSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shiptest.At(t, dir).File("source/f", []byte("x"))
	p := newPipes(t)
	root, err := os.Open(filepath.Join(dir, "source"))
	must(t, err)
	defer root.Close()
	v, err := fsread.OpenTree(root, fsread.Options{})
	must(t, err)
	st, err := ship.OpenState(filepath.Join(dir, "state"), "volume")
	must(t, err)
	defer st.Close()
	_, err = ship.Send(context.Background(), v, func(context.Context) (net.Conn, error) { return p.dial(), nil }, st,
		ship.SendOptions{Reconnects: -1, Idle: 50 * time.Millisecond})
	if fault.Of(err) != fault.ConnectionLost || !strings.Contains(err.Error(), "sent nothing") {
		t.Errorf("%v", err)
	}
}

func TestASilentSourceEndsTheSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "target"), 0o755))
	p := newPipes(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() {
		_ = receiveFromContext(ctx, t, p, filepath.Join(dir, "target"), filepath.Join(dir, "state"))
	})
	a := &attacker{pipes: p}
	a.begin()
	if _, err := io.Copy(io.Discard, a.control); err != nil { // ends when the target hangs up
		t.Errorf("the target holds on: %v", err)
	}
	cancel()
	wait.Wait()
}

func TestEndsThatWorkSlowlyKeepEachOtherInformed(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	shiptest.At(t, p.Source).File("f", []byte("x"))
	p.Send.Idle, p.Recv.Idle = 300*time.Millisecond, 300*time.Millisecond
	slow := func(context.Context) error {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		<-timer.C
		return nil
	}
	p.Send.BeforeVerify, p.Recv.BeforeVerify = slow, slow
	if o := p.Mirror(); o.Sent.Sessions != 1 {
		t.Errorf("%d sessions", o.Sent.Sessions)
	}
}
