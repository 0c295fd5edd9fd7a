// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bufio"
	"context"
	"net"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/sender"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// dialError is an error of the caller's Conn. It is not retried here.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// owns registers c to be closed with the session. It is false when the session is over.
func (x *sendSession) owns(c net.Conn) bool {
	x.connMu.Lock()
	defer x.connMu.Unlock()
	if x.closed {
		_ = c.Close()
		return false
	}
	x.conns = append(x.conns, c)
	return true
}

func (x *sendSession) closeAll() {
	x.connMu.Lock()
	defer x.connMu.Unlock()
	x.closed = true
	for _, c := range x.conns {
		_ = c.Close()
	}
}

// connect makes a connection and sends its Open message.
func (x *sendSession) connect(index int) (net.Conn, error) {
	c, err := x.dial(x.ctx)
	if err != nil {
		return nil, &fault.Error{Reason: fault.ConnectionLost, What: "connect to the target", Err: &dialError{err}}
	}
	if !x.owns(c) {
		return nil, context.Cause(x.ctx)
	}
	_, err = c.Write(wire.AppendMessage(nil, wire.Open{Version: wire.Version, Session: x.id, Index: uint8(index)}))
	return c, fault.Wrap(fault.ConnectionLost, err, "open a connection to the target")
}

// connectData makes the data connections, all at once and while the source is already being
// read: each takes three round trips.
func (x *sendSession) connectData() {
	var mu sync.Mutex
	var data []net.Conn
	for i := range x.o.Connections {
		x.group.Go(func() {
			c, err := x.connect(1 + i)
			if err != nil {
				x.missing(err)
				return
			}
			mu.Lock()
			data = append(data, c)
			if len(data) == x.o.Connections {
				x.group.Go(func() { x.watchCongestion(data) })
			}
			mu.Unlock()
			x.pump(c)
		})
	}
}

// missing ends the session because of a data connection that cannot be made, once there is
// something to send. A sync that has nothing to send needs none, and the target may be gone
// before the last one is made.
func (x *sendSession) missing(err error) {
	select {
	case f, ok := <-x.pass.Frames():
		if ok {
			f.Done()
			x.event(session.Failed{Err: err})
		}
	case <-x.ctx.Done():
	}
}

// pump writes frames to one data connection.
func (x *sendSession) pump(c net.Conn) {
	out := bufio.NewWriterSize(c, connBuffer)
	for {
		f, ok := x.nextFrame(out)
		if !ok {
			return
		}
		err := x.rate.Wait(x.ctx, len(f.Bytes()))
		if err == nil && len(f.Bytes()) > connBuffer/4 {
			err = out.Flush() // so that the frame is not copied once more
		}
		if err == nil && len(f.Bytes()) > connBuffer/4 {
			_, err = c.Write(f.Bytes())
		} else if err == nil {
			_, err = out.Write(f.Bytes())
		}
		x.count.Wire.Add(int64(len(f.Bytes())))
		f.Done()
		if err != nil {
			x.event(session.Failed{Err: fault.Wrap(fault.ConnectionLost, err, "write to the target")})
			return
		}
	}
}

// nextFrame waits for a frame, flushing what was gathered when there is none at once. After
// the last one it flushes and gives false.
func (x *sendSession) nextFrame(out *bufio.Writer) (sender.Frame, bool) {
	select {
	case f, ok := <-x.pass.Frames():
		if ok {
			return f, true
		}
	default:
		if out.Buffered() > 0 {
			if err := out.Flush(); err != nil {
				x.event(session.Failed{Err: fault.Wrap(fault.ConnectionLost, err, "write to the target")})
				return sender.Frame{}, false
			}
		}
	}
	select {
	case f, ok := <-x.pass.Frames():
		if ok {
			return f, true
		}
	case <-x.ctx.Done():
		return sender.Frame{}, false
	}
	if err := out.Flush(); err != nil {
		x.event(session.Failed{Err: fault.Wrap(fault.ConnectionLost, err, "write to the target")})
	}
	return sender.Frame{}, false
}
