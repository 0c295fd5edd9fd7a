// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 defines the API of kubectl-motion, group kubectl-motion.dev.
//
// It has four kinds, and each is written by exactly one party:
//
//   - MotionPolicy (cluster-scoped) is written by an administrator. It sets
//     which namespaces may migrate, to which clusters, and how fast. Agents
//     enforce it.
//   - ClusterPair (in the application's namespace) is written by an
//     administrator. It names the target of a migration and the Secret with
//     the credential; it contains no credential itself.
//   - Migration is written by the plugin, as the user. Its spec is the request,
//     its status the record. It is mirrored on the target, so that activate and
//     rollback work when the source cluster is gone. No component with more
//     rights than its writer trusts its contents.
//   - VolumeShipment replicates one PVC in one direction. The user writes spec;
//     the agent of the node that mounts the volume writes status. The agent
//     verifies every field of spec before it uses it (see package agent).
//
// The types follow the Kubernetes API conventions: conditions instead of a
// phase, integers with the unit in the name instead of durations, and every string
// and list is bounded so that the CEL rules stay within their cost limits.
//
// +kubebuilder:object:generate=true
// +groupName=kubectl-motion.dev
package v1alpha1
