// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// opened makes a file of pastFrom bytes and a few, drops it from memory or leaves it there,
// and opens it as a view does.
func opened(t *testing.T, inMemory bool) (*file, *os.File, []byte) {
	t.Helper()
	folder := t.TempDir()
	want := make([]byte, pastFrom+4097)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want)
	f, err := os.Create(filepath.Join(folder, "big"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if fs, err := filesystem(int(f.Fd())); err != nil || fs.name != "ext4" && fs.name != "xfs" {
		t.Skipf("TMPDIR is on %s, error %v: nothing is read past the page cache there", fs.name, err)
	}
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &unix.Cachestat_t{}, 0); err != nil {
		t.Skipf("cachestat: %v: nothing is read past the page cache before Linux 6.5", err)
	}
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if !inMemory {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	v, err := OpenTree(root, Options{CutUnixNano: 1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := v.ReadDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	nodes, err := d.Next(1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Open(&nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*file), f, want
}

// whole reads a content in pieces that do not divide it, into aligned memory.
func whole(t *testing.T, f *file, size int) []byte {
	t.Helper()
	var got []byte
	buf := AlignedBuffer(1 << 20)
	for {
		n, err := f.ReadAt(buf, int64(len(got)))
		got = append(got, buf[:n]...)
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil || n < len(buf) || len(got) > size {
			t.Fatalf("at %d: %d bytes and error %v", len(got), n, err)
		}
	}
}

func TestWhatIsInMemoryIsReadFromThereAndTheRestPastIt(t *testing.T) {
	for _, inMemory := range []bool{false, true} {
		f, _, want := opened(t, inMemory)
		if past := f.past >= 0; past == inMemory {
			t.Errorf("in memory %v: read past the page cache %v", inMemory, past)
		}
		if !bytes.Equal(whole(t, f, len(want)), want) {
			t.Errorf("in memory %v: the content is another", inMemory)
		}
	}
	f, origin, want := opened(t, false)
	// Older than the last write is what relatime would mend.
	long := time.Unix(1e9, 0)
	if err := os.Chtimes(origin.Name(), long, time.Time{}); err != nil {
		t.Fatal(err)
	}
	whole(t, f, len(want))
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil || st.Atim.Sec != long.Unix() {
		t.Errorf("the access time is now %d, error %v: a source is not changed by reading it", st.Atim.Sec, err)
	}
	var cached unix.Cachestat_t
	if err := unix.Cachestat(uint(f.fd), &unix.CachestatRange{}, &cached, 0); err != nil {
		t.Fatal(err)
	}
	if cached.Cache > 16 { // but for the last block
		t.Errorf("%d pages were read through the cache", cached.Cache)
	}
}

// A store through a map that was not synced is seen by a read past the cache.
func TestAStoreThroughAMapIsSeenPastThePageCache(t *testing.T) {
	f, origin, want := opened(t, false)
	if f.past < 0 {
		t.Fatal("it is not read past the page cache")
	}
	rw, err := os.OpenFile(origin.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rw.Close()
	m, err := unix.Mmap(int(rw.Fd()), 0, len(want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	for round := range 2 { // into a clean page, and again into the page after it was written out
		copy(m[2<<20+100:], []byte("stored"))
		m[2<<20+106] = byte(round)
		copy(want[2<<20+100:], m[2<<20+100:2<<20+107])
		if !bytes.Equal(whole(t, f, len(want)), want) {
			t.Errorf("round %d: the store is not seen", round)
		}
	}
}
