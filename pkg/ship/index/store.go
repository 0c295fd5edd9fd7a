// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package index stores descriptions of trees on disk as sorted runs: what the target
// durably holds, with the timestamps of this end, and the journal of a sync in progress.
//
// # Shape
//
// A run is a file of records in path order and a companion file of leaf digests, 16
// bytes for every 16 KiB of the contents above 128 KiB. A run is written once, front to
// back, and counts up to its last mark; newer runs override older ones path by path. The
// head names the runs that count and is replaced atomically, so nothing is ever changed in
// place: a crash leaves the state before or after.
//
// # Order of durability
//
// Store.Seal makes records durable before the mark that makes them valid. Callers
// make the described content durable before they call it.
//
// Nothing per entry is kept in memory.
package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Store is the state of one volume on disk. Only one process has it open.
type Store struct {
	dir  string
	lock *os.File

	mu    sync.Mutex // guards all below
	head  Head
	marks map[uint64]mark
	rows  map[uint64]*os.File
	// identity of the volume, once Bind was called.
	identity string
	// notice is what had to be set aside when the state was opened.
	notice string
}

// Open opens or makes the state of volumeID in dir and locks it. State that cannot be
// read is set aside; Notice returns why.
func Open(dir, volumeID string) (*Store, error) {
	if volumeID == "" {
		return nil, errors.New("open the state: empty volume ID")
	}
	path := filepath.Join(dir, fileName(volumeID))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fault.State(err, "open the state")
	}
	lock, err := lockFile(filepath.Join(path, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: path, lock: lock, marks: map[uint64]mark{}, rows: map[uint64]*os.File{}}
	if err := s.load(); err != nil {
		if setErr := s.SetAside(err); setErr != nil {
			_ = lock.Close()
			return nil, fault.Wrap(fault.StateCorrupt, setErr, "move the corrupt state aside")
		}
	}
	return s, s.sweep()
}

// fileName makes one safe file name of an opaque id.
func fileName(id string) string {
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' && i > 0
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func (s *Store) load() error {
	data, err := os.ReadFile(s.path("head"))
	if errors.Is(err, os.ErrNotExist) {
		s.head = Head{}
		return nil
	}
	if err != nil {
		return err
	}
	h, err := decodeHead(data)
	if err != nil {
		return err
	}
	for _, n := range h.Runs() {
		m, err := s.readMark(n, n == h.Base)
		if err != nil {
			return err
		}
		s.marks[n] = m
	}
	s.head = h
	return nil
}

func (s *Store) readMark(n uint64, complete bool) (mark, error) {
	f, err := os.Open(s.runPath(n))
	if err != nil {
		return mark{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer f.Close()
	m, whole, ok := lastMark(f)
	if !ok || complete && !whole {
		return mark{}, fmt.Errorf("%w: run %d is incomplete", ErrCorrupt, n)
	}
	return m, s.checkRows(n, m)
}

// checkRows reads the leaf digests that a mark speaks of against its checksum.
func (s *Store) checkRows(n uint64, m mark) error {
	if m.rows == 0 {
		return nil
	}
	f, err := os.Open(s.rowsPath(n))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	if got, err := io.Copy(sum, io.LimitReader(f, m.rows)); err != nil || got != m.rows || sum.Sum32() != m.rowsSum {
		return fmt.Errorf("%w: leaf digests of run %d are truncated or changed", ErrCorrupt, n)
	}
	return nil
}

// SetAside puts everything away because of cause, and begins with an empty state.
func (s *Store) SetAside(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	aside := s.path("damaged")
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	for _, e := range names {
		if n := e.Name(); n == "head" || strings.HasPrefix(n, "run-") || strings.HasPrefix(n, "rows-") {
			if err := os.Rename(s.path(n), filepath.Join(aside, n)); err != nil {
				return err
			}
		}
	}
	s.closeRows()
	s.head, s.marks = Head{}, map[uint64]mark{}
	s.notice = cause.Error()
	return syncDir(s.dir)
}

// Notice returns what was wrong with state that was set aside, or is "".
func (s *Store) Notice() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notice
}

// sweep removes runs that the head does not name: what a crash left.
func (s *Store) sweep() error {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	keep := s.named()
	for _, e := range names {
		n, isRun := runNumber(e.Name())
		if strings.HasSuffix(e.Name(), ".new") || isRun && !keep[n] {
			if err := os.Remove(s.path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) named() map[uint64]bool {
	keep := map[uint64]bool{}
	for _, n := range s.head.Runs() {
		keep[n] = true
	}
	return keep
}

func runNumber(name string) (uint64, bool) {
	for _, prefix := range []string{"run-", "rows-"} {
		if digits, ok := strings.CutPrefix(name, prefix); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func (s *Store) path(name string) string  { return filepath.Join(s.dir, name) }
func (s *Store) runPath(n uint64) string  { return s.path("run-" + strconv.FormatUint(n, 10)) }
func (s *Store) rowsPath(n uint64) string { return s.path("rows-" + strconv.FormatUint(n, 10)) }

// Head gives the head as last written.
func (s *Store) Head() Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

// Dir is where temporary files of this volume may be put.
func (s *Store) Dir() string { return s.dir }

// NewRun begins a run. It does not count until the head names it.
func (s *Store) NewRun() (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head.NextRun++
	n := s.head.NextRun
	run, err := os.OpenFile(s.runPath(n), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fault.State(err, "write the state")
	}
	rows, err := os.OpenFile(s.rowsPath(n), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		_ = run.Close()
		return nil, fault.State(err, "write the state")
	}
	return newWriter(n, run, rows), nil
}

// Seal makes everything w wrote durable and readable, under the mark value. See
// Writer.checkpoint for cut.
func (s *Store) Seal(w *Writer, value uint64, cut tree.Time) error {
	m, err := w.checkpoint(value, cut)
	if err != nil {
		return fault.State(err, "write the state")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[w.number] = m
	return nil
}

// Commit replaces the head, durably; runs it no longer names are removed.
func (s *Store) Commit(h Head) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.NextRun = s.head.NextRun
	if s.identity != "" {
		h.Identity = s.identity
	}
	data, err := encodeHead(h)
	if err != nil {
		return err
	}
	if err := replaceFile(s.path("head"), data); err != nil {
		return fault.State(err, "write the state")
	}
	old := s.named()
	s.head = h
	keep := s.named()
	for n := range old {
		if n != 0 && !keep[n] {
			s.removeRun(n)
		}
	}
	return nil
}

// Bind ties the state to the volume it describes. State of another volume is deleted; same is
// false then.
func (s *Store) Bind(identity string) (same bool, err error) {
	s.mu.Lock()
	was := s.head.Identity
	s.identity = identity
	blank := s.head.Phase == Fresh && s.head.Digest == "" && len(s.head.Runs()) == 0
	s.mu.Unlock()
	if blank || was == identity {
		return true, nil
	}
	return false, s.Commit(Head{})
}

// Discard removes a run that no head names.
func (s *Store) Discard(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.named()[n] {
		s.removeRun(n)
	}
}

// removeRun deletes a run's files. What cannot be deleted now is swept at the next Open.
func (s *Store) removeRun(n uint64) {
	if f := s.rows[n]; f != nil {
		_ = f.Close()
		delete(s.rows, n)
	}
	delete(s.marks, n)
	for _, p := range []string{s.runPath(n), s.rowsPath(n)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			slog.Debug("cannot delete a run of the state until the next start", "path", p, "error", err)
		}
	}
}

// Read iterates over the records of run n up to its last mark; run 0 is empty.
func (s *Store) Read(n uint64) (Iterator, error) {
	if n == 0 {
		return Empty(), nil
	}
	s.mu.Lock()
	m, ok := s.marks[n]
	s.mu.Unlock()
	if !ok || m.records == 0 {
		return Empty(), nil
	}
	f, err := os.Open(s.runPath(n))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	r, err := newReader(f, m)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

// ReadAll overlays the given runs, the last of them winning.
func (s *Store) ReadAll(runs ...uint64) (Iterator, error) {
	var its []Iterator
	for _, n := range runs {
		it, err := s.Read(n)
		if err != nil {
			for _, open := range its {
				_ = open.Close()
			}
			return nil, err
		}
		its = append(its, it)
	}
	if len(its) == 1 {
		return its[0], nil
	}
	return Overlay(its...), nil
}

// CopyRows appends n leaf digests that are kept elsewhere in the store to w.
func (s *Store) CopyRows(w *Writer, from Rows, n int64) error {
	const step = 4096 // leaves
	buf := make([]byte, min(n, step)*tree.LeafDigestSize)
	for first := int64(0); first < n; first += step {
		part := buf[:min(step, n-first)*tree.LeafDigestSize]
		if err := s.ReadRows(from, first, part); err != nil {
			return err
		}
		if err := w.AddRows(part); err != nil {
			return err
		}
	}
	return nil
}

// ReadRows reads the digests of len(buf)/16 leaves from the leaf index first on.
func (s *Store) ReadRows(at Rows, first int64, buf []byte) error {
	f, err := s.rowsFile(at.Run)
	if err != nil {
		return err
	}
	n, err := f.ReadAt(buf, at.Offset+first*tree.LeafDigestSize)
	if n < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: leaf digests of run %d: %w", ErrCorrupt, at.Run, err)
	}
	return nil
}

func (s *Store) rowsFile(n uint64) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.rows[n]; f != nil {
		return f, nil
	}
	f, err := os.Open(s.rowsPath(n))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	s.rows[n] = f
	return f, nil
}

func (s *Store) closeRows() {
	for n, f := range s.rows {
		_ = f.Close()
		delete(s.rows, n)
	}
}

// Close releases the state.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeRows()
	return unlock(s.lock)
}
