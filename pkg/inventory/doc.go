// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package inventory lists the objects of a namespace and decides for each whether it
// is migrated, with a reason if not.
//
//	Kinds      the kinds that discovery serves on the source, at a version that
//	           the target serves too
//	list       every object of every kind, page by page, as the user
//	Judge      a verdict with a reason of a closed set for each object
//	Needs      references between objects, from typed fields
//
// Invariants:
//
//   - There is no list of migrated kinds. Every kind is listed that is namespaced,
//     listable and creatable, custom resources included.
//   - Every listed object has exactly one verdict. A kind that could not be listed
//     is in Inventory.NotExamined: forbidden is not empty.
//   - Kinds that no user writes (events, leases, read-only kinds such as metrics)
//     are not listed; they are in Inventory.Ignored.
//   - Judge and Needs are pure functions of the listed objects.
//
// An Inventory keeps the objects as JSON, because an unstructured object costs
// about ten times its size in memory and a namespace may hold twenty thousand.
package inventory
