// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pipe

// Buffers keeps a few large buffers for reuse: memory that is allocated for every frame is
// zeroed twice, by the kernel and by the runtime.
type Buffers struct {
	free chan []byte
	make func() []byte
}

// NewBuffers keeps up to keep buffers; newOne allocates one.
func NewBuffers(keep int, newOne func() []byte) *Buffers {
	return &Buffers{free: make(chan []byte, keep), make: newOne}
}

// Get returns a buffer with undefined content.
func (b *Buffers) Get() []byte {
	select {
	case buf := <-b.free:
		return buf
	default:
		return b.make()
	}
}

// Put takes back a buffer as Get returned it.
func (b *Buffers) Put(buf []byte) {
	select {
	case b.free <- buf:
	default:
	}
}
