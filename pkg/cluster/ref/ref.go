// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package ref names namespaces of clusters as plain values, without a connection:
// for packages that are pure, and for JSON.
package ref

// Namespace names a namespace of a cluster.
type Namespace struct {
	// Cluster is what the user calls the cluster; only for people.
	Cluster string `json:"cluster,omitempty"`
	// ClusterID is the UID of the kube-system namespace; empty when unknown.
	ClusterID string `json:"clusterID,omitempty"`

	Namespace string `json:"namespace"`
}
