// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
)

// coalesce is how much one write to the raw connection carries at most, and how much is
// read ahead: crypto/tls alone makes a system call for every record of 16 KiB.
const coalesce = 256 << 10

// conn is an authenticated connection. Each Write is carried by as few raw writes as
// possible, and is on its way when it returns.
type conn struct {
	*tls.Conn
	wire wire
}

func newConn(raw net.Conn) *conn {
	return &conn{wire: wire{Conn: raw, in: bufio.NewReaderSize(raw, coalesce)}}
}

// Write sends b.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if flushErr := c.wire.flush(); err == nil {
		err = flushErr
	}
	return n, err
}

// Close sends the closing alert and closes the raw connection.
func (c *conn) Close() error {
	c.wire.direct()
	return c.Conn.Close()
}

// SyscallConn gives the socket below, for its statistics in the kernel.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.wire.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s.SyscallConn()
}

// wire is what crypto/tls sees of the raw connection.
type wire struct {
	net.Conn
	in *bufio.Reader

	mu        sync.Mutex // crypto/tls may answer from within Read
	gathering bool
	buf       []byte
	err       error // sticks
}

func (w *wire) Read(b []byte) (int, error) { return w.in.Read(b) }

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.gathering {
		return w.Conn.Write(b)
	}
	if len(w.buf)+len(b) > coalesce {
		w.flushLocked()
	}
	if w.err != nil {
		return 0, w.err
	}
	w.buf = append(w.buf, b...)
	return len(b), nil
}

func (w *wire) gather() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gathering = true
	w.buf = make([]byte, 0, coalesce)
}

func (w *wire) direct() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gathering = false
}

func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushLocked()
	return w.err
}

func (w *wire) flushLocked() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.Conn.Write(w.buf)
	}
	w.buf = w.buf[:0]
}
