// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command printversion prints what the linker stamped into it.
package main

import (
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

func main() {
	info := version.Get()
	fmt.Println(info.Version, info.Commit)
}
