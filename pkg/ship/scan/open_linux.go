// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"os"
)

// OpenDevice makes a view of a block device or image file, which stays the caller's to
// close after the view.
func OpenDevice(f *os.File, o Options) (View, error) {
	return nil, errors.ErrUnsupported
}
