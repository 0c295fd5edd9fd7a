// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package inventory finds out what a namespace holds, and says of every single
// object whether it moves and, when it does not, why.
//
//	Kinds      which kinds discovery serves on the source, and at which version
//	           the target serves them too
//	list       every object of every kind, page by page, as the user
//	Judge      a verdict with a reason of a closed set for each object
//	References who needs whom, from typed fields
//
// Invariants:
//
//   - There is no list of kinds to move. Whatever is namespaced, can be listed
//     and can be created is looked at; custom resources are no exception.
//   - Every object that was listed has exactly one verdict. A kind that could
//     not be listed is in Inventory.NotExamined: forbidden is not empty.
//   - Kinds that no user writes (events, leases, read-only views such as
//     metrics) are not listed at all; Inventory.Passed names them.
//   - Judge and References are pure functions of what was listed.
//
// An Inventory keeps the objects as JSON, because an unstructured object costs
// about ten times its size in memory and a namespace may hold twenty thousand.
package inventory
