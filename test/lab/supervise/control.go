// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

type request struct {
	Verb string `json:"verb"`
	Name string `json:"name,omitempty"`
}

type response struct {
	Error    string   `json:"error,omitempty"`
	Statuses []Status `json:"statuses,omitempty"`
}

// Serve answers requests on a unix socket until the context ends: one JSON request and response per connection.
func (s *Set) Serve(ctx context.Context, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.answer(conn)
		}
	}()
	return nil
}

func (s *Set) answer(conn net.Conn) {
	defer conn.Close()
	var q request
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		return
	}
	var a response
	if q.Verb == "status" {
		a.Statuses = s.Status()
	} else if err := s.Do(q.Verb, q.Name); err != nil {
		a.Error = err.Error()
	}
	_ = json.NewEncoder(conn).Encode(a)
}

// Ask performs a verb on a set that serves the socket. The statuses are those of the verb "status".
func Ask(socket, verb, name string) ([]Status, error) {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(conn).Encode(request{Verb: verb, Name: name}); err != nil {
		return nil, err
	}
	var a response
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return nil, fmt.Errorf("no answer to %s %s: %w", verb, name, err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Statuses, nil
}
