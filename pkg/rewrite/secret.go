// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package rewrite

// secret has nothing to drop: what a Secret must not carry over decides whether
// it moves at all (see package capture).
func (r *rewriting) secret() {}
