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

// makeSmall makes files of 1 to 16 KiB below dir.
func makeSmall(dir string, files, perDir, limit int) error {
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

// changeSmall writes one file in a hundred anew.
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
