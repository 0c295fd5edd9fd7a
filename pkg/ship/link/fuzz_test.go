// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzPreface(f *testing.F) {
	good, err := AppendPreface(nil, Preface{Version: Version, TargetUID: "8d2c0f0e-target"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.Replace(good, []byte{Version}, []byte{9}, 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var buf [prefaceSize]byte
		if copy(buf[:], raw) != prefaceSize {
			return
		}
		p, err := parsePreface(buf)
		if err != nil && !errors.Is(err, ErrVersion) {
			return
		}
		if again, err := AppendPreface(nil, p); err != nil || !bytes.Equal(again, buf[:]) {
			t.Errorf("accepted %x, which nobody writes; it means %x, %v", buf, again, err)
		}
	})
}

// The MAC is made right, so that the fuzzer gets past it.
func FuzzGreeting(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	f.Add(greeting{role: Sender, number: -3, own: "a", peer: "b"}.encode(key))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < greetingBody {
			return
		}
		data := append(bytes.Clone(raw[:greetingBody]), mac(key, raw[:greetingBody])...)
		g, err := parseGreeting(data, key)
		if err == nil && !bytes.Equal(g.encode(key), data) {
			t.Errorf("accepted %x, which nobody writes; it means %x", data, g.encode(key))
		}
	})
}
