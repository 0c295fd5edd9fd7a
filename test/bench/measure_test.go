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
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets this binary be a bare program, as bench is.
func TestMain(m *testing.M) {
	if os.Getenv("MOTION_BENCH_TEST") != "" && len(os.Args) > 1 && os.Args[1] == "bare" {
		if err := bare(os.Args[2:]); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

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

// Who has no other end to reach is shown, and is not what ours is measured by; and the limit is
// not less than what its work takes on all cores.
func TestWhoCountsAndWhatTheLimitIs(t *testing.T) {
	slow := timing{wall: 10 * time.Second}
	r := row{name: "x", better: 0.6, ours: ours(), peers: []contender{{name: "far"}, {name: "near", near: true}}}
	m := &meter{w: testWorld(t), o: &options{bigMiB: sample >> 20}, row: r}
	cells, notes, err := m.cells([][]timing{{{wall: 5 * time.Second}}, {slow}, {{wall: time.Second}}, nil})
	if err != nil || cells[2] != "10.00 (far)" || cells[6] != "pass 0.60 x peer" || !strings.Contains(notes[0], "near 1.00 s") {
		t.Errorf("%q %q %v", cells, notes, err)
	}
	m.row.peers = m.row.peers[1:]
	if _, _, err := m.cells([][]timing{{slow}, {slow}, nil}); err == nil {
		t.Error("a row without anybody who counts")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MOTION_BENCH_TEST", "bare")
	m.w.self, m.row.data, m.row.work = self, big, [][]string{{"digest"}}
	best := timing{wall: time.Nanosecond, cpu: time.Hour}
	if err := m.work(&best); err != nil || best.wall < time.Hour/time.Duration(runtime.NumCPU()) || best.cpu <= time.Hour {
		t.Errorf("%+v %v", best, err)
	}
	if err := errors.Join(digest(1<<20), encrypt(1<<20)); err != nil {
		t.Error(err)
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
