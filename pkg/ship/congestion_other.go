// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ship

import (
	"net"
)

func trafficOf(net.Conn) (traffic, bool) { return traffic{}, false }
