// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package rewrite

// Patch changes the objects it selects.
type Patch struct{}

func (r *rewriting) patch() error { return nil }
