// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// page is the size of a database's page.
const page = 8 << 10

// text fills b with lines of JSON of which about half is random, so that lz4 makes half of
// it, and no two parts are alike.
func text(r *rand.Rand, b []byte) {
	const hex = "0123456789abcdef"
	const line = `{"id":"................................","at":1700000000,"state":"active","note":"....................."}` + "\n"
	for len(b) > 0 {
		n := copy(b, line)
		for i := 7; i < min(n, 39); i += 8 {
			v := r.Uint64()
			for k := i; k < min(i+8, n, 39); k++ {
				b[k] = hex[v&15]
				v >>= 8
			}
		}
		v := r.Uint64()
		for k := 83; k < min(n, 104); k++ {
			b[k] = 'a' + byte(v&15)
			if v >>= 3; v == 0 {
				v = r.Uint64()
			}
		}
		b = b[n:]
	}
}

func noise(r *rand.Rand, b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, r.Uint64())
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 20261)) }

// smallName gives the path of the i-th small file when perDir files share a directory.
func smallName(i, perDir int) string {
	d := i / perDir
	return filepath.Join(fmt.Sprintf("a%02d", d%10), fmt.Sprintf("d%04d", d), fmt.Sprintf("file-%07d.json", i))
}

// makeSmall makes files of 1 to 16 KiB below dir, none larger than limit. Another round gives
// files of the same names and sizes another content.
func makeSmall(dir string, files, perDir, limit int, round uint64) error {
	for d := 0; d <= (files-1)/perDir; d++ {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, smallName(d*perDir, perDir))), 0o755); err != nil {
			return err
		}
	}
	const workers = 4
	var group sync.WaitGroup
	var failed [workers]error
	for w := range workers {
		group.Go(func() {
			buf := make([]byte, 16<<10)
			for i := w; i < files && failed[w] == nil; i += workers {
				r := seeded(uint64(i))
				b := buf[:min(limit, 1024+r.IntN(15<<10))]
				if round > 0 {
					r = seeded(uint64(i) + round<<32)
				}
				text(r, b)
				failed[w] = os.WriteFile(filepath.Join(dir, smallName(i, perDir)), b, 0o644)
			}
		})
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// changeSmall rewrites one file in a hundred.
func changeSmall(dir string, files, perDir int, round uint64) error {
	r := seeded(1e6 + round)
	buf := make([]byte, 16<<10)
	for range files / 100 {
		b := buf[:1024+r.IntN(15<<10)]
		text(r, b)
		if err := os.WriteFile(filepath.Join(dir, smallName(r.IntN(files), perDir)), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// makeBig writes what a database's file looks like: pages with a head and records.
func makeBig(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	const part = 4 << 20
	const workers = 4
	var group sync.WaitGroup
	var failed [workers]error
	for w := range workers {
		group.Go(func() {
			buf := make([]byte, part)
			for off := int64(w * part); off < size && failed[w] == nil; off += workers * part {
				b := buf[:min(part, size-off)]
				text(seeded(uint64(off)), b)
				for at := 0; at+24 <= len(b); at += page {
					binary.LittleEndian.PutUint64(b[at:], uint64(off)+uint64(at))
					clear(b[at+8 : at+24])
				}
				_, failed[w] = f.WriteAt(b, off)
			}
		})
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return f.Sync()
}

// changePages overwrites one page in a hundred, anywhere, with what does not compress.
func changePages(path string, size int64, round uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	r := seeded(2e6 + round)
	var b [page]byte
	for range size / page / 100 {
		noise(r, b[:])
		if _, err := f.WriteAt(b[:], r.Int64N(size/page)*page); err != nil {
			return err
		}
	}
	return f.Sync()
}

// makeLinked makes names of which each two belong to one file. Their directories are as far
// from each other as can be: the first directory's files have their other name in the last.
func makeLinked(dir string, names, perDir, limit int) error {
	files := max(names/2, 1)
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	if err := makeSmall(one, files, perDir, limit, 0); err != nil {
		return err
	}
	for i := range files {
		to := filepath.Join(other, smallName(files-1-i, perDir))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Link(filepath.Join(one, smallName(i, perDir)), to); err != nil {
			return err
		}
	}
	return nil
}

// segments is how many files a write-ahead log has.
const segments = 64

func segment(dir string, n int64) string { return filepath.Join(dir, fmt.Sprintf("%024X", n)) }

// makeLog writes the segments of a write-ahead log.
func makeLog(dir string, size int64) error {
	for i := range int64(segments) {
		if err := write(segment(dir, i), size, uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

// recycleLog does what PostgreSQL does to its log at a checkpoint: a quarter of the segments,
// the oldest, get the next names. Half of those have been written again since, the others
// still hold what they held under their old names.
func recycleLog(dir string, size int64) error {
	const quarter = segments / 4
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(there) != segments {
		return fmt.Errorf("the log has %d segments instead of %d", len(there), segments)
	}
	last, err := strconv.ParseInt(there[segments-1].Name(), 16, 64)
	if err != nil {
		return err
	}
	for i := range int64(quarter) {
		to := segment(dir, last+1+i)
		if err := os.Rename(filepath.Join(dir, there[i].Name()), to); err != nil {
			return err
		}
		if i >= quarter/2 {
			continue
		}
		if err := write(to, size, uint64(last+1+i)); err != nil {
			return err
		}
	}
	return nil
}

// write fills a file, in place when it is there.
func write(path string, size int64, seed uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	r := seeded(3e6 + seed)
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), size-off)]
		text(r, b)
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
	}
	return f.Sync()
}
