// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of the health server. Its port may be reached by every pod of the cluster.
const (
	// healthConnections are open at a time. One more closes the oldest, so that
	// connections that are held open do not keep the kubelet's probes out.
	healthConnections = 64
	healthRead        = 5 * time.Second
	healthWrite       = 10 * time.Second
	healthIdle        = 15 * time.Second
)

// health answers the kubelet's probes and collectors of metrics.
type health struct {
	// metrics may be nil.
	metrics http.Handler

	mu    sync.Mutex
	ready func() bool
}

func (h *health) readyWhen(f func() bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = f
}

func (h *health) isReady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready != nil && h.ready()
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.isReady() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if h.metrics != nil {
		mux.Handle("GET /metrics", h.metrics)
	}
	return mux
}

func (h *health) serve(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return h.serveOn(ctx, l)
}

func (h *health) serveOn(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: h.handler(), MaxHeaderBytes: 8 << 10,
		ReadHeaderTimeout: healthRead, ReadTimeout: healthRead, WriteTimeout: healthWrite, IdleTimeout: healthIdle,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(&boundedListener{Listener: l, limit: healthConnections}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// boundedListener has at most limit open connections: one more closes the oldest.
type boundedListener struct {
	net.Listener
	limit int

	mu   sync.Mutex
	open list.List // of *boundedConn, the oldest first
}

type boundedConn struct {
	net.Conn
	l    *boundedListener
	at   *list.Element
	once sync.Once
}

// Accept is net.Listener's.
func (l *boundedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: conn, l: l}
	l.mu.Lock()
	c.at = l.open.PushBack(c)
	var oldest *boundedConn
	if l.open.Len() > l.limit {
		oldest, _ = l.open.Front().Value.(*boundedConn)
	}
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return c, nil
}

// Close is net.Conn's.
func (c *boundedConn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		c.l.open.Remove(c.at)
	})
	return c.Conn.Close()
}
