// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package plan says what a migration will do before it does it.
//
//	Make = capture.Namespace   what is there, with verdicts
//	     + ObserveFacts        what the target offers (classes, namespace)
//	     + NewDraft            rewritten objects                    pure
//	     + ObserveObjects      what is there already; a server-side
//	                           dry-run of every object as the user
//	     + Build               items, volumes, findings             pure
//
// The plan is complete: every object of the inventory is an Item with one
// verdict, every kind that could not be listed is in NotExamined. What keeps
// the migration from going on is a Blocker; what people should know is a
// Warning. Both have a code of a closed set, an object and a next step.
//
// A Plan marshals to JSON and YAML. The objects themselves do not: they may hold
// Secrets. Item.Object and Volume.Object decode them for whoever runs the plan.
package plan
