// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import "k8s.io/client-go/util/retry"

// RetryOnConflict calls write again while it returns a conflict, as
// retry.RetryOnConflict does. That function returns nil when write returns a
// cancelled or expired context, because it takes the error for the end of its own
// back-off: a write that did not happen would count as done. This one returns the
// error of the last call.
func RetryOnConflict(write func() error) error {
	var last error
	_ = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		last = write()
		return last
	})
	return last
}
