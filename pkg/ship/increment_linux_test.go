// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"os"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

func TestAnIncrementReadsNothingOnAnUnchangedTarget(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	trusted(t, p.Target)
	m := shiptest.At(t, p.Source)
	m.File("large", shiptest.Noise("large", 3<<20))
	m.File("small", []byte("before"))
	if read := p.Mirror().Received.ReadBytes; read != 0 {
		t.Errorf("the first copy read %d bytes on the target", read)
	}
	for _, change := range []func(){
		func() { m.Write("large", 1<<20, []byte("changed")) },
		func() { m.File("small", []byte("after")) },
		func() {},
	} {
		change()
		if read := p.Mirror().Received.ReadBytes; read != 0 {
			t.Errorf("an increment read %d bytes on the target", read)
		}
	}
}

// trusted skips the test where stamps prove nothing.
func trusted(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := fsread.OpenTree(f, fsread.Options{CutUnixNano: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if !v.Info().Trusted {
		t.Skipf("%s has no stamps to trust", v.Info().Filesystem)
	}
}
