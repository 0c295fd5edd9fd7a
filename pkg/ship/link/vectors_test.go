// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"encoding/hex"
	"errors"
	cmdline "flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = cmdline.Bool("update", false, "write the test vectors anew")

// The vectors in testdata/vectors.txt are what a connection begins with; docs/formats.md
// explains them. They change only together with Version.

var (
	vectorPreface  = Preface{Version: Version, TargetUID: "0b7a4a7e-6a5b-4f5e-9d0c-3f3f4f0d5a11"}
	vectorGreeting = greeting{role: Sender, number: 7, own: "copy-source", peer: "copy-target"}
	// vectorKey stands for what the TLS exporter gives.
	vectorKey = bytes.Repeat([]byte{7}, 32)
)

func TestTheFirstBytesOfAConnectionAreThoseOfTheVectors(t *testing.T) {
	preface, err := AppendPreface(nil, vectorPreface)
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/vectors.txt"
	hello := vectorGreeting.encode(vectorKey)
	if *update {
		if err := os.WriteFile(file, fmt.Appendf(nil, "preface %x\ngreeting %x\n", preface, hello), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if known[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, got := range map[string][]byte{"preface": preface, "greeting": hello} {
		if !bytes.Equal(got, known[name]) {
			t.Errorf("the %s is written as %x, the vector is %x", name, got, known[name])
		}
	}
	if n := len(known["preface"]); n != prefaceSize {
		t.Fatalf("the preface has %d bytes", n)
	}
	if p, err := parsePreface([prefaceSize]byte(known["preface"])); err != nil || p != vectorPreface {
		t.Errorf("the preface is read as %+v (%v)", p, err)
	}
	if g, err := parseGreeting(known["greeting"], vectorKey); err != nil || g != vectorGreeting {
		t.Errorf("the greeting is read as %+v (%v)", g, err)
	}
	for n := range known["greeting"] {
		if _, err := parseGreeting(known["greeting"][:n], vectorKey); !errors.Is(err, ErrGreeting) {
			t.Errorf("%d bytes are taken for a greeting (%v)", n, err)
		}
	}
	for i := range known["greeting"] { // a bit that is turned is noticed wherever it is
		turned := bytes.Clone(known["greeting"])
		turned[i] ^= 4
		if _, err := parseGreeting(turned, vectorKey); err == nil {
			t.Errorf("a greeting with another byte %d is taken for one", i)
		}
	}
}
