// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Journal writes what was applied into a run, in the order of the log. It checks each
// large content against what was announced. It is for one goroutine.
type Journal struct {
	store *index.Store
	w     *index.Writer

	in   *incoming
	hash *tree.ContentHasher
	rows index.Rows
	leaf int64 // next leaf of in
	buf  []byte
}

// NewJournal writes into w, a run of store.
func NewJournal(store *index.Store, w *index.Writer) *Journal {
	return &Journal{store: store, w: w}
}

// Over gives the digest of a content of size bytes that begins with the leaf digests known, and
// goes on as under has it, or with zeros. All of its leaf digests are appended to w, a run of store.
func Over(store *index.Store, w *index.Writer, under *index.Record, known []byte, size int64) (tree.Digest, error) {
	j := &Journal{store: store, w: w, hash: tree.NewContent(size), in: &incoming{path: under.Entry.Path, patch: true, fresh: true, base: *under}}
	if err := j.digests(known); err != nil {
		return tree.Digest{}, err
	}
	if err := j.fill(tree.LeafCount(size)); err != nil {
		return tree.Digest{}, err
	}
	return j.hash.Sum(), nil
}

// Add puts on record what came of the next frame, which is done.
func (j *Journal) Add(f *Frame) error {
	for i := range f.results {
		r := &f.results[i]
		switch {
		case r.open != nil:
			j.in, j.hash, j.rows, j.leaf = r.open, tree.NewContent(r.open.size), j.w.Rows(), 0
		case r.closes != nil:
			if err := j.complete(r.record); err != nil {
				return err
			}
		case r.record != nil:
			if err := j.w.Add(r.record); err != nil {
				return err
			}
		default:
			if err := j.part(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// part takes the leaf digests of a range of the content.
func (j *Journal) part(r *result) error {
	if err := j.fill(r.offset / tree.LeafSize); err != nil {
		return err
	}
	if r.zero == 0 {
		return j.digests(r.rows)
	}
	return j.zeros(tree.LeafCount(r.zero))
}

func (j *Journal) digests(rows []byte) error {
	j.hash.Add(rows)
	j.leaf += int64(len(rows) / tree.LeafDigestSize)
	return j.w.AddRows(rows)
}

const fillStep = 4096 // leaves

func (j *Journal) scratch(leaves int64) []byte {
	if j.buf == nil {
		j.buf = make([]byte, fillStep*tree.LeafDigestSize)
	}
	return j.buf[:min(leaves, fillStep)*tree.LeafDigestSize]
}

func (j *Journal) zeros(leaves int64) error {
	for leaves > 0 {
		part := j.scratch(leaves)
		clear(part)
		if err := j.digests(part); err != nil {
			return err
		}
		leaves -= int64(len(part) / tree.LeafDigestSize)
	}
	return nil
}

// fill takes the leaves up to the one given from the base. What was left out beyond it is
// zero only in a file that was made for this.
func (j *Journal) fill(to int64) error {
	kept := int64(0)
	if j.in.patch {
		kept = min(to, j.in.base.Leaves())
	}
	if to > max(kept, j.leaf) && !j.in.fresh {
		return fault.At(fault.PeerRejected, j.in.path, nil, "missing part of the content")
	}
	for j.leaf < kept {
		part := j.scratch(kept - j.leaf)
		if err := j.store.ReadRows(j.in.base.Rows, j.leaf, part); err != nil {
			return err
		}
		if err := j.digests(part); err != nil {
			return err
		}
	}
	return j.zeros(to - j.leaf)
}

func (j *Journal) complete(rec *index.Record) error {
	if err := j.fill(tree.LeafCount(j.in.size)); err != nil {
		return err
	}
	if j.hash.Sum() != rec.Entry.Content {
		return fault.At(fault.DigestMismatch, j.in.path, nil, "content does not match its digest")
	}
	if rec.Entry.Kind == tree.Image || index.HasRows(rec.Entry.Size) {
		rec.Rows = j.rows
	}
	j.in = nil
	return j.w.Add(rec)
}

// Partial puts on record how far the open content has come.
func (j *Journal) Partial() error {
	if j.in == nil || j.leaf == 0 {
		return nil
	}
	e := tree.Entry{Path: j.in.path, Kind: tree.File, Size: j.in.size}
	if j.in.image {
		e.Kind = tree.Image
	}
	return j.w.Add(&index.Record{
		Entry: e, Stamp: j.in.stamp, Rows: j.rows, Staged: j.in.place.Staged, Patch: j.in.patch,
		Partial: true, Known: j.leaf,
	})
}
