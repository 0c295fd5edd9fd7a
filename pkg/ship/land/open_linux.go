// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package land

import (
	"errors"
	"os"
)

// OpenTree makes a target of the directory root, which stays the caller's to close after
// the target. Nothing is written outside it, and nothing of ours stays in it.
func OpenTree(root *os.File, o Options) (Target, error) { return nil, errors.ErrUnsupported }

// OpenDevice makes a target of a block device or image file, which stays the caller's to
// close after the target.
func OpenDevice(f *os.File, o Options) (Target, error) { return nil, errors.ErrUnsupported }
