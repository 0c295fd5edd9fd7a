// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command build-image writes a container image to an archive, without a container engine.
package main

func main() {}
