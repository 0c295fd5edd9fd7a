// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import "unsafe"

// DirectAlign is what reading past the page cache wants of addresses, offsets and lengths.
const DirectAlign = 4096

// AlignedBuffer gives n bytes that can be read into past the page cache.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n+DirectAlign)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (DirectAlign - 1))
	return b[skip : skip+n : skip+n]
}

func aligned(b []byte, off int64) bool { return len(b)%DirectAlign == 0 && Aligned(b, off) }

// Aligned reports whether the beginning of b suits off past the page cache, for any length.
func Aligned(b []byte, off int64) bool {
	return len(b) > 0 && off%DirectAlign == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%DirectAlign == 0
}
