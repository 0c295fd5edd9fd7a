// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"testing"
)

func someEntries() []Entry {
	common := Entry{Mode: 0o755, UID: 1000, GID: 4294967294, MTime: Time{Sec: -1, Nsec: 999_999_999}}
	with := func(path string, kind Kind, change func(*Entry)) Entry {
		e := common
		e.Path, e.Kind = path, kind
		if change != nil {
			change(&e)
		}
		return e
	}
	return []Entry{
		with("", Dir, func(e *Entry) { e.Xattrs = []Xattr{{"user.a", "1"}, {"user.b", ""}} }),
		with("a\x00b", File, func(e *Entry) { e.Size, e.Content, e.Flags = 5, EmptyContent(), Immutable|NoDump }),
		with("link", Symlink, func(e *Entry) { e.Mode, e.Link = 0, "../x\xff" }),
		with("fifo", Fifo, nil), with("socket", Socket, nil),
		with("null", CharDevice, func(e *Entry) { e.Rdev = 1<<32 | 3 }),
		with("disk", BlockDevice, func(e *Entry) { e.Rdev = 259<<32 | 70000 }),
		{Path: "z", Kind: Hardlink, Link: "a\x00b"},
		{Kind: Image, Size: 1 << 40, Content: EmptyContent()},
	}
}

// The encoding is canonical: what the decoder accepts is what the encoder would write.
func FuzzDecodeEntry(f *testing.F) {
	for _, e := range someEntries() {
		f.Add(AppendEntry(nil, &e))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := NewDecoder(raw)
		e := d.Entry()
		if d.Err() != nil {
			return
		}
		if used := raw[:len(raw)-len(d.Rest())]; !bytes.Equal(AppendEntry(nil, &e), used) {
			t.Errorf("accepted %x, which nobody writes; it means %x", used, AppendEntry(nil, &e))
		}
	})
}
