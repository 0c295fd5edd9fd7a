// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import "github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"

// Namespace is a namespace of a cluster, with the connection to that cluster.
type Namespace struct {
	Cluster *Cluster
	Name    string
}

// Ref is the same namespace as plain values.
func (n Namespace) Ref() ref.Namespace {
	return ref.Namespace{Cluster: n.Cluster.Name, ClusterID: n.Cluster.ID, Namespace: n.Name}
}

// String names the namespace for messages.
func (n Namespace) String() string { return n.Name + " on " + n.Cluster.Name }
