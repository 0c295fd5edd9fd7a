// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func testWorld(t *testing.T) *world {
	return &world{ctx: t.Context(), src: t.TempDir(), dst: t.TempDir(), state: t.TempDir(), talk: io.Discard, warm: true}
}

// One row that goes wrong, hangs or cannot make its data leaves the table whole.
func TestARowThatGoesWrongLeavesTheOthersTheirPlace(t *testing.T) {
	w := testWorld(t)
	o := &options{files: 3, runs: 1, wait: 2 * time.Second}
	good := func(*meter) ([]string, error) { return []string{"1.00", "", "2.00", "0.50", "", "", "pass"}, nil }
	bad := func(*meter) ([]string, error) { return nil, errors.New("the trees | differ\nhere") }
	hangs := func(m *meter) ([]string, error) {
		_, err := m.w.timed(m.w.dst, []string{"sh", "-c", "sleep 1000 | cat"})
		return nil, err
	}
	rows := []row{
		{name: "one", data: small, special: good},
		{name: "two", data: small, special: bad},
		{name: "three", data: small, special: good},
		{name: "four", data: small, special: hangs},
		{name: "five", data: data(strings.Repeat("x", 300)), special: good},
		{name: "six", data: small, gates: true, special: good},
	}
	var out bytes.Buffer
	err := measure(w, o, rows, &out)
	if err == nil || !strings.Contains(err.Error(), "two: void") {
		t.Errorf("the void row is not told: %v", err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "|") {
			lines = append(lines, line)
			if n := strings.Count(line, "|"); n != 9 {
				t.Errorf("%d bars instead of 9 in %q", n, line)
			}
		}
	}
	for i, want := range []string{"work", "---", "one | 1.00", "two | void: the trees / differ |", "three | 1.00", "four | void: took more", "five | void: make the data", "**six** | 1.00"} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Fatalf("line %d of the table does not have %q:\n%s", i, want, out.String())
		}
	}
	if !strings.HasPrefix(out.String(), "`bin/bench -runs 1 -files 3") {
		t.Errorf("the command is not said:\n%s", out.String())
	}
	if left, err := os.ReadDir(w.src); err != nil || len(left) > 0 {
		t.Errorf("data of rows that are over is left: %v %v", left, err)
	}
}

// What goes through the distance arrives whole in both directions, and each end is told when
// the other has said everything.
func TestTheDistanceCarriesBothDirections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		heard <- b
		_, _ = c.Write(bytes.ToUpper(b))
	}()
	at, err := delayed(ctx, l.Addr().String(), 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := bytes.Repeat([]byte("what is said far away "), 300_000)
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(answer, bytes.ToUpper(want)) {
		t.Errorf("%d bytes instead of %d came back (%v)", len(answer), len(want), err)
	}
	if !bytes.Equal(<-heard, want) {
		t.Error("something else arrived")
	}
}

// Recycled segments have new names; half of them the content that they had.
func TestALogIsRecycledAsPostgreSQLDoes(t *testing.T) {
	dir := t.TempDir()
	const size = 2 * page
	if err := makeLog(dir, size); err != nil {
		t.Fatal(err)
	}
	before := map[string]bool{}
	for i := range int64(segments) {
		b, err := os.ReadFile(segment(dir, i))
		if err != nil {
			t.Fatal(err)
		}
		before[string(b)] = true
	}
	if len(before) != segments {
		t.Fatalf("only %d segments differ", len(before))
	}
	for round := range int64(3) {
		if err := recycleLog(dir, size); err != nil {
			t.Fatal(err)
		}
		there, err := os.ReadDir(dir)
		if err != nil || len(there) != segments || there[0].Name() != segment("", (round+1)*segments/4) {
			t.Fatalf("after round %d: %v %v", round, there, err)
		}
	}
	kept := 0
	for i := range int64(segments) {
		if b, err := os.ReadFile(segment(dir, 3*segments/4+i)); err == nil && before[string(b)] {
			kept++
		}
	}
	if kept != segments-3*segments/8 {
		t.Errorf("%d segments hold what one held before", kept)
	}
}
