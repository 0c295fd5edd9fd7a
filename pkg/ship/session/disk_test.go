// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// A disk has two layers: what is durable, and what was done since the last sync. A crash
// keeps some beginning of the latter, as a filesystem with a journal does; of a write that
// is kept the data may be lost all the same, while the inode's stamp is new.

// inode is a file of the simulated disk. Its stamp is new after every change.
type inode struct {
	data  string
	stamp int
}

const lostData = "(lost)"

type diskOp struct {
	name string
	to   string // rename
	data string
	gone bool
}

type disk struct {
	stamp   int
	durable map[string]inode
	current map[string]inode
	pending []diskOp
	// touched are the names that changed since somebody asked.
	touched func(name string)
}

func newDisk() *disk {
	return &disk{durable: map[string]inode{}, current: map[string]inode{}, touched: func(string) {}}
}

func (d *disk) do(op diskOp) {
	d.touched(op.name)
	if op.to != "" {
		d.touched(op.to)
	}
	d.pending = append(d.pending, op)
	d.stamp++
	apply(d.current, op, d.stamp)
}

func apply(files map[string]inode, op diskOp, stamp int) {
	switch {
	case op.to != "":
		n, ok := files[op.name]
		if ok {
			n.stamp = stamp
			files[op.to] = n
			delete(files, op.name)
		}
	case op.gone:
		delete(files, op.name)
	default:
		files[op.name] = inode{op.data, stamp}
	}
}

func (d *disk) write(name, data string) { d.do(diskOp{name: name, data: data}) }
func (d *disk) remove(name string) {
	if _, ok := d.current[name]; ok {
		d.do(diskOp{name: name, gone: true})
	}
}

func (d *disk) rename(from, to string) {
	if _, ok := d.current[from]; ok {
		d.do(diskOp{name: from, to: to})
	}
}

func (d *disk) sync() {
	d.durable = maps.Clone(d.current)
	d.pending = nil
}

// crash loses what is not durable, as the dice say.
func (d *disk) crash(r *rand.Rand) {
	files := maps.Clone(d.durable)
	first := d.stamp - len(d.pending)
	for i, op := range d.pending[:r.IntN(len(d.pending)+1)] {
		apply(files, op, first+i+1)
		if n, ok := files[op.name]; ok && op.to == "" && !op.gone && r.IntN(2) == 0 {
			files[op.name] = inode{lostData, n.stamp}
		}
	}
	d.durable, d.current, d.pending = files, maps.Clone(files), nil
}

// The volume's names begin with "t/", staged ones with "s/". rootName is the root directory's
// description, which every change in the root spoils.
const (
	inTarget = "t/"
	inStage  = "s/"
	rootName = "."
	spoilt   = "(changed)"
)

type tag map[string]string // a tree: name to content

func (d *disk) tree(files map[string]inode) tag {
	out := tag{}
	for name, n := range files {
		if path, ok := strings.CutPrefix(name, inTarget); ok {
			out[path] = n.data
		}
	}
	return out
}

func (t tag) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(t)) {
		if k != rootName {
			parts = append(parts, k+"="+t[k])
		}
	}
	if len(parts) == 0 {
		return "(empty)"
	}
	return strings.Join(parts, " ")
}

func (t tag) digest() tree.Digest {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(h, "%q=%q\n", k, t[k])
	}
	return tree.Digest(h.Sum(nil))
}
