// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package plan computes what a migration will do, without changing either cluster.
//
//	Make = inventory.Namespace the source's objects with verdicts
//	     + ObserveFacts        what the clusters offer (classes, quotas, namespace)
//	     + NewDraft            transformed objects                  pure
//	     + ObserveObjects      the target's objects; a server-side
//	                           dry-run of every object as the user
//	     + Build               items, volumes, findings             pure
//
// The plan is complete: every object of the inventory is an Item with one verdict,
// and every kind that could not be listed is in NotExamined. A Blocker keeps the
// migration from starting; a Warning does not. Both have a code of a closed set, an
// object and a hint with the next step.
//
// A Plan marshals to JSON and YAML without the objects themselves, which may hold
// Secrets. Item.Object and Volume.Object decode them for the code that runs the plan.
package plan
