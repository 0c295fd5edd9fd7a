// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"fmt"
	"unicode"
)

// withoutControls writes the controls of 8-bit terminals, and those that turn the
// direction of text, in JSON's own way: json.Marshal leaves them as they are, a
// terminal obeys them, and YAML does not take them.
func withoutControls(raw []byte) []byte {
	control := func(r rune) bool {
		return r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
	}
	if bytes.IndexFunc(raw, control) < 0 {
		return raw
	}
	var out bytes.Buffer
	for _, r := range string(raw) {
		if control(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}
