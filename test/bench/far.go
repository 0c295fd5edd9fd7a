// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// far is what stands between the two ends while a row is measured over a distance: two small
// proxies that hold back everything for half a round trip in each direction. Kernels
// without netem have nothing of the kind.
type far struct {
	listen, dial string   // of motion-agent copy: where the target listens, where the source connects to
	ssh          []string // options of ssh through the other proxy
	stop         func()
}

// goFar puts everybody's ends a round trip apart until the row is over.
func (w *world) goFar(roundTrip time.Duration) error {
	ctx, cancel := context.WithCancel(w.ctx)
	f := &far{stop: cancel}
	port, err := freePort(ctx)
	if err != nil {
		return errors.Join(err, f.end(w))
	}
	f.listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if f.dial, err = delayed(ctx, f.listen, roundTrip); err != nil {
		return errors.Join(err, f.end(w))
	}
	through, err := delayed(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(w.port)), roundTrip)
	if err != nil {
		return errors.Join(err, f.end(w))
	}
	_, number, _ := net.SplitHostPort(through)
	f.ssh = w.sshOptions("mux-far", number)
	if err := w.run(append(append([]string{"ssh", "-MNf"}, f.ssh...), "root@127.0.0.1")...); err != nil {
		return errors.Join(err, f.end(w))
	}
	w.far = f
	return nil
}

// comeBack ends what goFar began.
func (w *world) comeBack() error {
	if w.far == nil {
		return nil
	}
	err := w.far.end(w)
	w.far = nil
	return err
}

func (f *far) end(w *world) error {
	defer f.stop()
	if f.ssh == nil {
		return nil
	}
	return w.runAnyway(append(append([]string{"ssh", "-O", "exit"}, f.ssh...), "root@127.0.0.1")...)
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// delayed accepts connections for to and gives the address where it does.
func delayed(ctx context.Context, to string, roundTrip time.Duration) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", to, err)
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go carry(ctx, near.(*net.TCPConn), to, roundTrip)
		}
	}()
	return l.Addr().String(), nil
}

// carry joins a connection with one to to.
func carry(ctx context.Context, near *net.TCPConn, to string, roundTrip time.Duration) {
	defer near.Close()
	// The greeting of TCP itself takes a round trip before the first byte can go.
	if !wait(ctx, time.Now().Add(roundTrip)) {
		return
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer c.Close()
	distant := c.(*net.TCPConn)
	stop := context.AfterFunc(ctx, func() { _, _ = near.Close(), distant.Close() })
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { pass(ctx, near, distant, roundTrip/2) })
	group.Go(func() { pass(ctx, distant, near, roundTrip/2) })
	group.Wait()
}

// parcel is what was read at once, and when it arrives.
type parcel struct {
	data []byte
	due  time.Time
}

// underway is how many parcels of at most parcelSize one direction of a connection holds.
// With 40 ms that lets some 100 MB/s through a connection, about what the kernel's own
// largest window (tcp_rmem, 6 MiB of which half is data) would.
const (
	underway   = 32
	parcelSize = 64 << 10
)

// pass carries one direction until it ends.
func pass(ctx context.Context, from, to *net.TCPConn, delay time.Duration) {
	parcels := make(chan parcel, underway)
	go func() {
		defer close(parcels)
		for {
			buf := make([]byte, parcelSize)
			n, err := from.Read(buf)
			if n > 0 {
				parcels <- parcel{buf[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range parcels {
		if !wait(ctx, p.due) {
			break
		}
		if _, err := to.Write(p.data); err != nil {
			_ = from.Close()
			break
		}
	}
	_ = to.CloseWrite()
	for range parcels { // the reader is not left with a full channel
	}
}

func wait(ctx context.Context, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
