// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"path/filepath"
	"strconv"
	"time"
)

// row is one line of the table.
type row struct {
	name string
	// gates: it is one of those that decide.
	gates bool
	// quick rows are measured with -quick, asked ones only when they are named.
	quick, asked bool
	data         data
	// first: every run begins with an empty target and no state.
	first  bool
	change func(m *meter, round int) error
	ours   contender
	peers  []contender
	// better is the ratio to the best peer that is to be reached; 0 means none.
	better float64
	// limits are the bare programs that do the same; the fastest counts. within is the ratio
	// to it that is to be reached, slack what is allowed on top.
	limits func(m *meter, round int) [][]string
	within float64
	slack  time.Duration
	// special rows measure themselves, and give the cells behind their name.
	special func(m *meter) ([]string, error)
}

// data is a set of data.
type data string

const (
	small  data = "small"
	big    data = "big"
	device data = "device"
	many   data = "many"
)

// perDir is how many small files share a directory.
const perDir = 100

var workers = []int{1, 2, 4, 8, 16}

func allRows(o *options) []row {
	files := strconv.Itoa(o.files)
	size := strconv.FormatInt(o.bigMiB, 10) + " MiB"
	return []row{
		{
			name: files + " small files, first", gates: true, quick: true, data: small, first: true, ours: ours(), better: 0.75, within: 1.25,
			peers:  []contender{rsyncBest(), rsyncLocal(), cpA(), tarSSH(), pvMigrate(), volSync()},
			limits: limitCopyTree,
		},
		{
			name: "small files, unchanged, target checked", gates: true, quick: true, data: small, ours: ours(), better: 0.75, within: 1.25, slack: 100 * time.Millisecond,
			peers: []contender{rsyncBest(), rsyncLocal(), pvMigrate(), volSync()}, limits: limitWalks(2),
		},
		{
			name: "small files, unchanged, --trust-target", quick: true, data: small, ours: ours("--trust-target"), better: 0.4, within: 1.25, slack: 100 * time.Millisecond,
			peers: []contender{rsyncBest(), rsyncLocal()}, limits: limitWalks(1),
		},
		{
			name: "small files, 1 % changed", quick: true, data: small, ours: ours(), better: 0.7, within: 1.25, slack: 500 * time.Millisecond,
			change: func(m *meter, round int) error { return changeSmall(m.src(small), m.o.files, perDir, uint64(round)) },
			peers:  []contender{rsyncBest(), rsyncLocal(), pvMigrate(), volSync()}, limits: limitWalks(2),
		},
		{
			name: "small files, all of them with another mode", data: small, ours: ours(), change: chmodAll,
			peers: []contender{rsyncBest(), rsyncLocal()}, limits: limitWalks(2),
		},
		{
			name: "small files, unchanged, both states lost", data: small, ours: forgetful(),
			peers: []contender{rsyncBest(), rsyncLocal()}, limits: limitWalks(2),
		},
		{name: "small files, unchanged, --verify", data: small, ours: ours("--verify"), peers: []contender{checksums()}},
		{name: "small files, through restic", asked: true, data: small, first: true, ours: ours(), peers: []contender{restic()}},
		{name: "small files, killed at half, and again", data: small, special: resumed},
		{
			name: "a file of " + size + ", first", quick: true, data: big, first: true, ours: ours(), better: 0.6, within: 1.3,
			peers: []contender{rsyncBest(), rsyncLocal(), cpA(), tarSSH(), pvMigrate(), volSync()}, limits: limitCopyFile,
		},
		{
			name: "the file, 1 % of its pages changed", gates: true, quick: true, data: big, ours: ours(), better: 0.25, within: 1.3,
			change: func(m *meter, round int) error { return changePages(m.bigFile(), m.o.bigMiB<<20, uint64(round)) },
			peers:  []contender{rsyncBest(), rsyncInplace(), rsyncLocal(), pvMigrate(), volSync()}, limits: limitRead,
		},
		{name: "the file, unchanged, --verify", data: big, ours: ours("--verify"), peers: []contender{checksums()}, limits: limitRead},
		{
			name: "a device of " + size + ", 1 % of its pages changed", data: device, ours: ours(), better: 0.25, within: 1.3,
			change: func(m *meter, round int) error { return changePages(m.src(device), m.o.bigMiB<<20, uint64(round)) },
			peers:  []contender{rsyncDevice(), blockCopy()}, limits: limitRead,
		},
		{name: "a file over 1 Gbit/s, first", data: big, special: slowLink},
		{name: "memory, small files", data: small, special: memory(0, 0)},
		{name: "memory, " + strconv.Itoa(o.many) + " files, " + "1000 in a directory", asked: true, data: many, special: memory(o.many, 1000)},
		{name: "memory, " + strconv.Itoa(o.many) + " files in one directory", asked: true, data: many, special: memory(o.many, o.many)},
	}
}

func limitCopyTree(m *meter, _ int) [][]string {
	var out [][]string
	for _, n := range workers {
		to, err := m.scratch("limit-" + strconv.Itoa(n))
		if err != nil {
			continue
		}
		out = append(out, m.w.bare("copy", strconv.Itoa(n), m.src(small), to))
	}
	return out
}

func limitWalks(trees int) func(m *meter, _ int) [][]string {
	return func(m *meter, _ int) [][]string {
		var out [][]string
		for _, n := range workers {
			paths := []string{m.src(small), m.dst(small, "motion-agent copy")}[:trees]
			out = append(out, m.w.bare(append([]string{"walk", strconv.Itoa(n)}, paths...)...))
		}
		return out
	}
}

func limitCopyFile(m *meter, _ int) [][]string {
	var out [][]string
	for _, n := range workers {
		to, err := m.scratch("limit")
		if err != nil {
			continue
		}
		out = append(out, m.w.bare("clone", strconv.Itoa(n), m.bigFile(), filepath.Join(to, "copy-"+strconv.Itoa(n))))
	}
	return out
}

func limitRead(m *meter, _ int) [][]string {
	path := m.bigFile()
	if m.row.data == device {
		path = m.src(device)
	}
	var out [][]string
	for _, n := range workers {
		out = append(out, m.w.bare("read", strconv.Itoa(n), path))
	}
	return out
}
