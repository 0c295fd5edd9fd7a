// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
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
	first bool
	// frugal: a target is removed when it was judged, for sets that fill the disk.
	frugal bool
	// apart is the round trip between the two ends; 0 means none but the machine's own.
	apart  time.Duration
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
	// work is the processor time of a copy beyond the limit's own calls: what it
	// takes is divided among all cores, and when that is more than the limit it is the limit.
	work [][]string
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
	wal    data = "wal"
)

// Sets of data whose size is in their name, for the rows about cost against size.
func filesOf(n int) data     { return data(fmt.Sprintf("files-%d", n)) }
func gibibytesOf(n int) data { return data(fmt.Sprintf("gibibytes-%d", n)) }

// extent is how many files a set of data has, and how many bytes when it is not of small files.
func (d data) extent(o *options) (files, bytes int64) {
	switch d {
	case small:
		return int64(o.files), 0
	case big, device:
		return 1, o.bigMiB << 20
	case many:
		return int64(o.many), 0
	case wal:
		return segments, max(o.bigMiB<<20/4, segments*page)
	}
	if _, err := fmt.Sscanf(string(d), "files-%d", &files); err == nil {
		return files, 0
	}
	if _, err := fmt.Sscanf(string(d), "gibibytes-%d", &bytes); err == nil {
		return 1, bytes << 30
	}
	return 0, 0
}

// usualFiles is the most files of one set that fit the usual filesystems.
const usualFiles = 2_000_000

// distance is the round trip of the rows about a network that is far.
const distance = 40 * time.Millisecond

// perDir is how many small files share a directory.
const perDir = 100

var workers = []int{1, 2, 4, 8, 16}

func allRows(o *options) []row {
	files := strconv.Itoa(o.files)
	size := strconv.FormatInt(o.bigMiB, 10) + " MiB"
	rows := []row{
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
			change: onePercentOfFiles,
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
			name: "a file of " + size + ", first", quick: true, data: big, first: true, frugal: true, ours: ours(), better: 0.6, within: 1.3,
			peers: []contender{rsyncBest(), rsyncLocal(), cpA(), tarSSH(), pvMigrate(), volSync()}, limits: limitCopyFile,
			work: [][]string{{"digest"}, {"digest"}, {"tls"}},
		},
		{
			name: "the file, 1 % of its pages changed", gates: true, quick: true, data: big, ours: ours(), better: 0.25, within: 1.3,
			change: onePercentOfPages,
			peers:  []contender{rsyncBest(), rsyncInplace(), rsyncLocal(), pvMigrate(), volSync()}, limits: limitRead,
		},
		{name: "the file, unchanged, --verify", data: big, ours: ours("--verify"), peers: []contender{checksums()}, limits: limitRead},
		{
			name: "a device of " + size + ", 1 % of its pages changed", data: device, ours: ours(), better: 0.25, within: 1.3,
			change: func(m *meter, round int) error { return changePages(m.src(device), m.o.bigMiB<<20, uint64(round)) },
			peers:  []contender{rsyncDevice(), blockCopy()}, limits: limitRead,
		},
		{
			name: "a write-ahead log of " + strconv.Itoa(segments) + " segments, a quarter recycled", data: wal, ours: ours(),
			change: func(m *meter, _ int) error { return recycleLog(m.src(wal), m.bytes()/segments) },
			// Where rsync deletes names it leaves another time on their directory.
			peers: []contender{lossy(rsyncBest()), lossy(rsyncInplace()), lossy(rsyncFuzzy()), lossy(rsyncLocal())}, limits: limitWalks(2),
		},
		{name: "a file over 1 Gbit/s, first", data: big, special: slowLink},
		{name: "small files at 40 ms, first", data: small, apart: distance, first: true, ours: ours(), peers: []contender{rsyncBest(), tarSSH()}},
		{name: "small files at 40 ms, unchanged", data: small, apart: distance, ours: ours(), peers: []contender{rsyncBest()}},
		{name: "small files at 40 ms, 1 % changed", data: small, apart: distance, ours: ours(), change: onePercentOfFiles, peers: []contender{rsyncBest()}},
		{name: "memory, small files", data: small, special: memory(nil, nil)},
	}
	return append(append(rows, memoryRows(o)...), sizeRows()...)
}

// memoryRows are about the most memory with very many files, which hold up to 64 bytes.
func memoryRows(o *options) []row {
	n := strconv.Itoa(o.many)
	const tiny = 64
	plain := func(perDir int, round uint64) func(*meter, string) error {
		return func(_ *meter, dir string) error { return makeSmall(dir, o.many, perDir, tiny, round) }
	}
	linked := func(_ *meter, dir string) error { return makeLinked(dir, o.many, 1000, tiny) }
	return []row{
		{name: "memory, " + n + " files, 1000 in a directory", asked: true, data: many, special: memory(plain(1000, 0), nil)},
		{name: "memory, " + n + " files in one directory", asked: true, data: many, special: memory(plain(o.many, 0), nil)},
		{name: "memory, " + n + " names, each two of a file", asked: true, data: many, special: memory(linked, nil)},
		{name: "memory, " + n + " files, then all of them changed", asked: true, data: many, special: memory(plain(1000, 0), plain(1000, 1))},
	}
}

// sizeRows are about how cost grows.
func sizeRows() (rows []row) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		name, d := fmt.Sprintf("size, %d small files, ", n), filesOf(n)
		peers := []contender{rsyncBest()}
		rows = append(rows,
			row{name: name + "first", asked: true, data: d, first: true, ours: ours(), peers: peers, limits: limitCopyTree},
			row{name: name + "unchanged", asked: true, data: d, ours: ours(), peers: peers, limits: limitWalks(2)},
			row{name: name + "1 % changed", asked: true, data: d, ours: ours(), change: onePercentOfFiles, peers: peers, limits: limitWalks(2)},
		)
	}
	for _, n := range []int{1, 4, 16} {
		name, d := fmt.Sprintf("size, a file of %d GiB, ", n), gibibytesOf(n)
		rows = append(rows,
			row{name: name + "first", asked: true, data: d, first: true, frugal: true, ours: ours(), peers: []contender{rsyncBest()}},
			row{name: name + "1 % of its pages changed", asked: true, data: d, ours: ours(), change: onePercentOfPages, peers: []contender{rsyncInplace()}, limits: limitRead},
		)
	}
	return rows
}

func onePercentOfFiles(m *meter, round int) error {
	return changeSmall(m.src(m.row.data), m.files(), perDir, uint64(round))
}

func onePercentOfPages(m *meter, round int) error {
	return changePages(m.bigFile(), m.bytes(), uint64(round))
}

func limitCopyTree(m *meter, _ int) [][]string {
	var out [][]string
	for _, n := range workers {
		to, err := m.scratch("limit-" + strconv.Itoa(n))
		if err != nil {
			continue
		}
		out = append(out, m.w.bare("copy", strconv.Itoa(n), m.src(m.row.data), to))
	}
	return out
}

func limitWalks(trees int) func(m *meter, _ int) [][]string {
	return func(m *meter, _ int) [][]string {
		var out [][]string
		for _, n := range workers {
			paths := []string{m.src(m.row.data), m.dst(m.row.data, "motion-agent copy")}[:trees]
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
