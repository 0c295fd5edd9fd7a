// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command plugin stands for the plugin where only the packaging is looked at:
// it builds for every platform within seconds.
package main

func main() { println("installed and running") }
