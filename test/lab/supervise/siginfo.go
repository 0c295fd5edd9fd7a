// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidOf reads si_pid, which the unix package leaves in the padding: on 64-bit Linux the union starts 16 bytes into
// siginfo_t (sigaction(2), asm-generic/siginfo.h).
func pidOf(info *unix.Siginfo) int {
	raw := (*[unsafe.Sizeof(unix.Siginfo{})]byte)(unsafe.Pointer(info))
	return int(int32(binary.NativeEndian.Uint32(raw[16:])))
}
