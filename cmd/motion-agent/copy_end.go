// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// newCopyEndCommand is one of the two processes of copy; it reads a copyEnd from its standard input.
func newCopyEndCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "end",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var end copyEnd
			if err := json.NewDecoder(c.InOrStdin()).Decode(&end); err != nil {
				return fmt.Errorf("read the order from stdin: %w", err)
			}
			// A blocking system call holds a processor until the scheduler notices.
			runtime.GOMAXPROCS(4 * runtime.NumCPU())
			// Rare garbage collection saves processor time; the limit bounds the memory.
			debug.SetGCPercent(400)
			debug.SetMemoryLimit(200 << 20)
			return end.run(c.Context(), &notes{w: c.OutOrStdout()})
		},
	}
}

// notes writes lines of JSON.
type notes struct {
	mu sync.Mutex
	w  io.Writer
}

func (n *notes) write(note copyNote) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, err := json.Marshal(note)
	if err == nil {
		_, _ = n.w.Write(append(b, '\n'))
	}
}

// Write takes a log line.
func (n *notes) Write(line []byte) (int, error) {
	n.write(copyNote{Log: string(bytes.TrimRight(line, "\n"))})
	return len(line), nil
}

// run runs one end. A failure is reported as a note, not as an error of the process.
func (e *copyEnd) run(ctx context.Context, n *notes) error {
	log := slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var result ship.Result
	var err error
	if e.Send {
		result, err = e.send(ctx, n, log)
	} else {
		result, err = e.receive(ctx, n, log)
	}
	note := copyNote{Result: &result}
	if err != nil {
		note.Reason, note.Error = fault.Of(err), e.name()+": "+err.Error()
	}
	n.write(note)
	return nil
}

func (e *copyEnd) local(role link.Role) (link.Local, link.Peer, error) {
	key, err := link.ParsePEM(e.Key)
	return link.Local{Key: key, UID: e.UID, Role: role}, link.Peer{UID: e.PeerUID, KeySHA256: e.PeerKey}, err
}

func (e *copyEnd) send(ctx context.Context, n *notes, log *slog.Logger) (ship.Result, error) {
	local, peer, err := e.local(link.Sender)
	if err != nil {
		return ship.Result{}, err
	}
	f, err := os.Open(e.Path)
	if err != nil {
		return ship.Result{}, fault.Wrap(fault.Unreadable, err, "open the source")
	}
	defer f.Close()
	method, err := openView(f)
	if err != nil {
		return ship.Result{}, err
	}
	defer method.Close()
	state, err := ship.OpenState(e.State, "copy")
	if err != nil {
		return ship.Result{}, err
	}
	defer state.Close()
	var d net.Dialer
	dial := func(ctx context.Context) (net.Conn, error) {
		raw, err := d.DialContext(ctx, "tcp", e.Address)
		if err != nil {
			return nil, err
		}
		return link.Dial(ctx, raw, local, peer)
	}
	o := ship.SendOptions{
		Connections: e.Options.Connections, Bandwidth: e.Options.Bandwidth, SpecialFiles: ship.Preserve, Logger: log,
		Drop: e.Options.Drop, SELinux: e.Options.SELinux,
		Progress: func(f ship.Statistics) { n.write(copyNote{Statistics: &f}) },
	}
	return ship.Send(ctx, method, dial, state, o)
}

// openView opens a directory, device or image file as a source.
func openView(f *os.File) (ship.Source, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		if err := fsread.CheckIDs(); err != nil {
			return nil, err
		}
		return fsread.OpenTree(f, fsread.Options{})
	}
	return fsread.OpenDevice(f, fsread.Options{})
}

func (e *copyEnd) receive(ctx context.Context, n *notes, log *slog.Logger) (ship.Result, error) {
	local, peer, err := e.local(link.Receiver)
	if err != nil {
		return ship.Result{}, err
	}
	target, err := e.openTarget()
	if err != nil {
		return ship.Result{}, err
	}
	defer target.Close()
	state, err := ship.OpenState(e.State, "copy")
	if err != nil {
		return ship.Result{}, err
	}
	defer state.Close()
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", e.Address)
	if err != nil {
		return ship.Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	n.write(copyNote{Address: l.Addr().String()})
	o := ship.ReceiveOptions{Verify: e.Options.Verify, TrustTarget: e.Options.TrustTarget, SpecialFiles: ship.Preserve, Logger: log}
	return ship.Receive(ctx, target, acceptFrom(ctx, l, local, peer), state, o)
}

// maxHandshakes bounds how many connections authenticate at the same time.
const maxHandshakes = 16

// acceptFrom returns authenticated connections of a listener. Other connections are closed, and no
// handshake waits for another one.
func acceptFrom(ctx context.Context, l net.Listener, local link.Local, peer link.Peer) ship.Conn {
	authenticated, over := make(chan net.Conn), make(chan error, 1)
	room := make(chan struct{}, maxHandshakes)
	handshake := func(raw net.Conn) {
		defer func() { <-room }()
		_ = raw.SetReadDeadline(time.Now().Add(link.HandshakeTimeout))
		preface, err := link.ReadPreface(raw)
		if err != nil {
			_ = raw.Close()
			return
		}
		_ = raw.SetReadDeadline(time.Time{}) // Accept has its own
		c, err := link.Accept(ctx, raw, preface, local, peer)
		if err != nil {
			return
		}
		select {
		case authenticated <- c:
		case <-ctx.Done():
			_ = c.Close()
		}
	}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				over <- err
				return
			}
			room <- struct{}{}
			go handshake(raw)
		}
	}()
	return func(ctx context.Context) (net.Conn, error) {
		select {
		case c := <-authenticated:
			return c, nil
		case err := <-over:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// openTarget opens DST and creates it when it does not exist.
func (e *copyEnd) openTarget() (ship.Target, error) {
	f, err := os.OpenFile(e.Path, os.O_RDWR, 0)
	switch {
	case err == nil:
		return fswrite.OpenDevice(f, fswrite.Options{})
	case errors.Is(err, os.ErrNotExist) && e.Options.SourceImage:
		if f, err = os.OpenFile(e.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return nil, fault.Wrap(fault.TargetUnwritable, err, "create the target")
		}
		if err := f.Truncate(e.Options.SourceSize); err != nil {
			return nil, fault.Wrap(fault.TargetUnwritable, err, "create the target")
		}
		return fswrite.OpenDevice(f, fswrite.Options{})
	case errors.Is(err, os.ErrNotExist):
		if err := os.Mkdir(e.Path, 0o700); err != nil {
			return nil, fault.Wrap(fault.TargetUnwritable, err, "create the target")
		}
	}
	if err := fsread.CheckIDs(); err != nil {
		return nil, err
	}
	if f, err = os.Open(e.Path); err != nil {
		return nil, fault.Wrap(fault.TargetUnwritable, err, "open the target")
	}
	return fswrite.OpenTree(f, fswrite.Options{})
}
