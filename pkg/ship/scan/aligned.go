// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package scan

import "unsafe"

// directAlign is what reading past the page cache wants of addresses, offsets and lengths.
const directAlign = 4096

// AlignedBuffer gives n bytes that can be read into past the page cache.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n+directAlign)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (directAlign - 1))
	return b[skip : skip+n : skip+n]
}

func aligned(b []byte, off int64) bool {
	return len(b)%directAlign == 0 && off%directAlign == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%directAlign == 0
}
