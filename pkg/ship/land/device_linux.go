// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package land

import (
	"errors"
	"os"
)

// OpenDevice makes a target of a block device or image file, which stays the caller's to
// close after the target.
func OpenDevice(_ *os.File, _ Options) (Target, error) { return nil, errors.ErrUnsupported }
