// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API of kubectl-motion.
//
// Four kinds, each written by exactly one party:
//
//   - MotionPolicy (cluster-scoped) is the administrator's word: which
//     namespaces may move, to which peers, how fast. Agents obey it.
//   - ClusterPair (in the application's namespace) names a destination. It
//     carries no credential: it names the Secret that does.
//   - Migration is the request of a user and the plugin's own record of it,
//     mirrored on the target so that activate and rollback work when the
//     source is gone. Nothing that has more rights than its writer trusts it.
//   - VolumeShipment is the contract between a user and the node agents about
//     one claim in one direction. The user writes spec, the agent of the node
//     that has the volume writes status, and the agent believes nothing in
//     spec that it has not checked itself (see package agent).
//
// The types follow the Kubernetes API conventions: conditions instead of a
// phase, integers with the unit in the name instead of durations, every string
// and list bounded so that the CEL rules stay within their cost limits.
//
// +kubebuilder:object:generate=true
// +groupName=kubectl-motion.dev
package v1alpha1
