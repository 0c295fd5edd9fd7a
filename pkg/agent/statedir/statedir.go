// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package statedir is the folder on the node in which an agent remembers:
//
//	keys/<shipment UID>.pem    the key pair of one end of one shipment
//	volumes/<claim UID>/       what package ship knows of one volume
//	claims/<claim UID>.json    which claim that is, to tell when it is gone
//
// It outlives the agent's pod. Losing it costs reads and new keys, never
// correctness: a missing key is created again and published, and the peer's user
// pins the new one. One key pair per shipment, never per agent, keeps one namespace's
// shipment from being taken for another's on the same node.
package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

const (
	keysDir    = "keys"
	volumesDir = "volumes"
	claimsDir  = "claims"
)

// Dir is the folder. Its methods may be called by several goroutines, for
// different UIDs.
type Dir struct{ path string }

// Open makes the folder, for root alone, unless it exists.
func Open(path string) (*Dir, error) {
	for _, sub := range []string{keysDir, volumesDir, claimsDir} {
		if err := os.MkdirAll(filepath.Join(path, sub), 0o700); err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
	}
	return &Dir{path: path}, nil
}

// Key returns the shipment's key pair, which it makes the first time. A key that
// does not parse is replaced: the peer then sees an unknown key and refuses,
// until its user pins the new one.
func (d *Dir) Key(shipment types.UID) (*link.Key, error) {
	file, err := d.file(keysDir, shipment, ".pem")
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(file)
	if err == nil {
		if key, err := link.ParsePEM(pem); err == nil {
			return key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key of shipment %s: %w", shipment, err)
	}
	return d.newKey(file)
}

func (d *Dir) newKey(file string) (*link.Key, error) {
	key, err := link.NewKey()
	if err != nil {
		return nil, err
	}
	pem, err := key.MarshalPEM()
	if err != nil {
		return nil, err
	}
	if err := writeFile(file, pem); err != nil {
		return nil, fmt.Errorf("write the key of a shipment: %w", err)
	}
	return key, nil
}

// ForgetKey removes the shipment's key pair.
func (d *Dir) ForgetKey(shipment types.UID) error {
	file, err := d.file(keysDir, shipment, ".pem")
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("key of shipment %s: %w", shipment, err)
	}
	return nil
}

// Keys lists the shipments that have a key pair.
func (d *Dir) Keys() ([]types.UID, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, keysDir))
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	var out []types.UID
	for _, e := range entries {
		if uid, ok := strings.CutSuffix(e.Name(), ".pem"); ok && isUID(uid) {
			out = append(out, types.UID(uid))
		}
	}
	return out, nil
}

// Claim is what a volume's state belongs to.
type Claim struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// Volume returns the folder for the state of the claim's volume, and remembers
// whose it is.
func (d *Dir) Volume(c Claim) (string, error) {
	record, err := d.file(claimsDir, c.UID, ".json")
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	if old, err := os.ReadFile(record); err != nil || string(old) != string(data) {
		if err := writeFile(record, data); err != nil {
			return "", fmt.Errorf("state of PVC %s/%s: %w", c.Namespace, c.Name, err)
		}
	}
	dir, err := d.file(volumesDir, c.UID, "")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("state of PVC %s/%s: %w", c.Namespace, c.Name, err)
	}
	return dir, nil
}

// Claims lists the claims whose volumes have state. Records that do not parse are
// left alone.
func (d *Dir) Claims() ([]Claim, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, claimsDir))
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	var out []Claim
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(d.path, claimsDir, e.Name()))
		if err != nil {
			continue
		}
		var c Claim
		if json.Unmarshal(data, &c) == nil && string(c.UID)+".json" == e.Name() {
			out = append(out, c)
		}
	}
	return out, nil
}

// ForgetVolume removes the state of a claim's volume, the record of whose it is
// last, so that an interrupted removal is taken up again.
func (d *Dir) ForgetVolume(claim types.UID) error {
	dir, err := d.file(volumesDir, claim, "")
	if err != nil {
		return err
	}
	record, err := d.file(claimsDir, claim, ".json")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("state of PVC %s: %w", claim, err)
	}
	if err := os.Remove(record); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state of PVC %s: %w", claim, err)
	}
	return nil
}

// file is the path of uid's file; a UID that is none could be any path.
func (d *Dir) file(sub string, uid types.UID, suffix string) (string, error) {
	if !isUID(string(uid)) {
		return "", fmt.Errorf("%q is not a UID", uid)
	}
	return filepath.Join(d.path, sub, string(uid)+suffix), nil
}

func isUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

// writeFile replaces a file so that a crash leaves the old or the new one.
func writeFile(file string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
