// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package statedir

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

const (
	one = types.UID("6f0a3d0e-8f0f-4d9a-9d3c-0a7c5f3f9b11")
	two = types.UID("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d")
)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func key(t *testing.T, d *Dir, uid types.UID) string {
	t.Helper()
	k, err := d.Key(uid)
	if err != nil {
		t.Fatal(err)
	}
	return k.SHA256()
}

func TestEveryShipmentHasAKeyOfItsOwnThatSurvivesARestart(t *testing.T) {
	d := open(t)
	first := key(t, d, one)
	if key(t, d, two) == first {
		t.Error("two shipments share a key")
	}
	again, err := Open(d.path)
	if err != nil {
		t.Fatal(err)
	}
	if key(t, again, one) != first {
		t.Error("the key changed with a restart")
	}
}

func TestKeysAreReadableByTheirOwnerAlone(t *testing.T) {
	d := open(t)
	key(t, d, one)
	for path, want := range map[string]os.FileMode{
		filepath.Join(d.path, keysDir): 0o700, filepath.Join(d.path, keysDir, string(one)+".pem"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestAForgottenKeyIsMadeAnew(t *testing.T) {
	d := open(t)
	first := key(t, d, one)
	for range 2 {
		if err := d.ForgetKey(one); err != nil {
			t.Fatal(err)
		}
	}
	if key(t, d, one) == first {
		t.Error("a forgotten key came back")
	}
}

func TestADamagedKeyIsReplaced(t *testing.T) {
	d := open(t)
	first := key(t, d, one)
	if err := os.WriteFile(filepath.Join(d.path, keysDir, string(one)+".pem"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if second := key(t, d, one); second == first || second != key(t, d, one) {
		t.Error("a damaged key was not replaced for good")
	}
}

func TestAUIDThatIsAPathReachesNothing(t *testing.T) {
	d := open(t)
	for _, uid := range []types.UID{"", "..", "../../etc/shadow", "a/b", one + "/", "{" + one + "}"} {
		if _, err := d.Key(uid); err == nil {
			t.Errorf("Key(%q)", uid)
		}
		if _, err := d.Volume(Claim{UID: uid}); err == nil {
			t.Errorf("Volume(%q)", uid)
		}
		if d.ForgetVolume(uid) == nil || d.ForgetKey(uid) == nil {
			t.Errorf("Forget(%q)", uid)
		}
	}
}

func TestTheStateOfAVolumeIsKeptUntilItIsForgotten(t *testing.T) {
	d := open(t)
	c := Claim{Namespace: "blue", Name: "data", UID: one}
	dir, err := d.Volume(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest"), []byte("m"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := d.Volume(c); err != nil || again != dir {
		t.Fatalf("%s, %v", again, err)
	}
	claims, err := d.Claims()
	if err != nil || !slices.Equal(claims, []Claim{c}) {
		t.Fatalf("claims %+v, %v", claims, err)
	}
	if err := d.ForgetVolume(one); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the state is still there: %v", err)
	}
	if claims, err := d.Claims(); err != nil || len(claims) != 0 {
		t.Errorf("claims %+v, %v", claims, err)
	}
}

func TestShipmentsWithAKeyAreListedAndNothingElse(t *testing.T) {
	d := open(t)
	key(t, d, one)
	key(t, d, two)
	if err := os.WriteFile(filepath.Join(d.path, keysDir, ".new-123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := d.Keys()
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []types.UID{one, two}) {
		t.Errorf("Keys = %v, %v", got, err)
	}
}
