// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package land writes a volume: a directory tree below one descriptor, or a device.
package land

import "github.com/kubectl-motion/kubectl-motion/pkg/ship/scan"

// Options of OpenTree and OpenDevice.
type Options struct {
	// SpecialFiles as in scan.
	SpecialFiles scan.SpecialFiles
}

// Target is what a shipment is written to. Its methods are for package ship.
type Target interface {
	Close() error
}
