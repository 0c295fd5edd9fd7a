// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func startHealth(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&health{}).serveOn(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestHealthServer(t *testing.T) {
	t.Run("answers probes while connections are held open", func(t *testing.T) {
		address := startHealth(t)
		var held []net.Conn
		for range 3 * healthConnections {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			held = append(held, c)
		}
		client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
		// The oldest was closed to make room.
		_ = held[0].SetReadDeadline(time.Now().Add(3 * time.Second))
		if _, err := held[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
				t.Error("the oldest connection is still open")
			}
		}
	})
	t.Run("closes a connection that sends no request", func(t *testing.T) {
		c, err := net.Dial("tcp", startHealth(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetReadDeadline(time.Now().Add(3 * healthRead))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%v", err)
		}
	})
}
