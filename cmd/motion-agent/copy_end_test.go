// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// A silent connection does not delay the connection of the source.
func TestSilentConnectionDelaysNoOther(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	end := func(role link.Role, uid string) link.Local {
		key, err := link.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		return link.Local{Key: key, UID: uid, Role: role}
	}
	source, target := end(link.Sender, "source"), end(link.Receiver, "target")
	peer := func(l link.Local) link.Peer { return link.Peer{UID: l.UID, KeySHA256: l.Key.SHA256()} }
	dial := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	accept := acceptFrom(t.Context(), l, target, peer(source))
	silent := dial()
	defer silent.Close()
	raw, failed := dial(), make(chan error, 1)
	go func() {
		c, err := link.Dial(t.Context(), raw, source, peer(target))
		if err == nil {
			err = c.Close()
		}
		failed <- err
	}()
	c, err := accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-failed; err != nil {
		t.Error(err)
	}
}
