// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// Phase is what the target holds. It is used only in the state of a receiver.
type Phase string

const (
	// Fresh: nothing is known; the target is empty or was never looked at.
	Fresh Phase = ""
	// The target is being written in place and has no verified sync.
	Torn Phase = "torn"
	// Whole: the target holds the verified sync; the journal describes the stage.
	Whole Phase = "whole"
	// Rolling: the increment in the journal is committed and must be rolled forward.
	Rolling Phase = "rolling"
)

// Runs gives all runs that the head names.
func (h *Head) Runs() []uint64 {
	var runs []uint64
	if h.Base != 0 {
		runs = append(runs, h.Base)
	}
	return append(append(runs, h.Journal...), h.Memory...)
}

// Head is the root of a volume's state: small, replaced as a whole.
type Head struct {
	Phase Phase `json:"phase,omitempty"`
	// Digest of the tree that Base describes: the verified sync (receiver, phases
	// Whole and Rolling) or the last one both ends agreed on (sender).
	Digest string `json:"digest,omitempty"`
	// Expected digest after rolling forward; phase Rolling only.
	Expected string `json:"expected,omitempty"`
	// ExpectedSync is the caller's number of it.
	ExpectedSync int64 `json:"expectedSync,omitempty"`
	// Mask under which Digest was taken.
	Mask uint32 `json:"mask,omitempty"`
	// Sync is the caller's number of the verified sync.
	Sync int64 `json:"sync,omitempty"`
	// Entries in Base.
	Entries int64 `json:"entries,omitempty"`
	// Base is the run that describes the tree; 0 means an empty tree.
	Base uint64 `json:"base,omitempty"`
	// Journal are runs that override Base, oldest first: a receiver's knowledge of what it
	// wrote or staged.
	Journal []uint64 `json:"journal,omitempty"`
	// Memory are runs of a sender's syncs that were not verified, oldest first: what was
	// read, for its timestamps.
	Memory []uint64 `json:"memory,omitempty"`
	// Stage is the name of the stage directory in the target's root; "" means none.
	Stage string `json:"stage,omitempty"`
	// Staged is the highest number given to a staged inode.
	Staged uint64 `json:"staged,omitempty"`
	// Image is true for a device or image file.
	Image bool `json:"image,omitempty"`
	// Identity of the volume that all of this describes, see fsread.Identity. The store sets it.
	Identity string `json:"identity,omitempty"`
	// Mismatch: a digest was not the expected one. The next sync reads all content of this end,
	// regardless of its timestamps.
	Mismatch bool `json:"mismatch,omitempty"`
	// NextRun is the number of the next run.
	NextRun uint64 `json:"nextRun,omitempty"`
}

const headMagic = "motion head 2"

// encodeHead writes a line with magic and CRC-32C, then the JSON the sum is taken over.
func encodeHead(h Head) ([]byte, error) {
	body, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %08x\n%s\n", headMagic, crc32.Checksum(body, castagnoli), body), nil
}

func decodeHead(data []byte) (Head, error) {
	line, body, _ := bytes.Cut(data, []byte("\n"))
	if len(line) > 0 && !bytes.HasPrefix(line, []byte(headMagic+" ")) {
		return Head{}, fmt.Errorf("%w: head of another version", ErrCorrupt)
	}
	body, ended := bytes.CutSuffix(body, []byte("\n"))
	want := fmt.Sprintf("%s %08x", headMagic, crc32.Checksum(body, castagnoli))
	if !ended || string(line) != want {
		return Head{}, fmt.Errorf("%w: checksum of the head", ErrCorrupt)
	}
	var h Head
	if err := json.Unmarshal(body, &h); err != nil {
		return Head{}, fmt.Errorf("%w: head: %w", ErrCorrupt, err)
	}
	if again, err := encodeHead(h); err != nil || !bytes.Equal(again, data) {
		return Head{}, fmt.Errorf("%w: unknown fields in the head", ErrCorrupt)
	}
	return h, nil
}

// replaceFile puts data at path, atomically and durably.
func replaceFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}
