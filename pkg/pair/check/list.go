// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package check looks at pairs and changes nothing: which there are, and
// whether each hop of one works, from the user's API server to the rate at which
// bytes arrive at the target's agents.
//
// It sees what its caller may see. What the caller may not look at is unknown,
// never fine.
package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Pair is one pair as the source's API server returns it.
type Pair struct {
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	ClusterID       string `json:"clusterID"`
	TargetNamespace string `json:"targetNamespace"`
	Server          string `json:"server,omitempty"`
	// Ready is True, False or Unknown, with the message that says why.
	Ready   metav1.ConditionStatus `json:"ready"`
	Message string                 `json:"message,omitempty"`
	// CredentialExpiryTime is when the present credential ends, ExpiryTime when
	// the pair does.
	CredentialExpiryTime *metav1.Time `json:"credentialExpiryTime,omitempty"`
	ExpiryTime           *metav1.Time `json:"expiryTime,omitempty"`
	// TokenRotated is about the last rotation; empty when there was none.
	TokenRotated metav1.ConditionStatus `json:"tokenRotated,omitempty"`
	SecretName   string                 `json:"secretName"`
	CreatedAt    metav1.Time            `json:"createdAt"`
}

// List returns the pairs of namespaces, or of all when there are none, by
// namespace and name. now decides what has ended.
func List(ctx context.Context, c *cluster.Cluster, namespaces []string, now time.Time) ([]Pair, error) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	var out []Pair
	for _, ns := range namespaces {
		pairs, err := cluster.List[v1alpha1.ClusterPair](ctx, c, v1alpha1.ClusterPairs, ns, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("clusterpairs on %s: %w", c, err)
		}
		for i := range pairs {
			out = append(out, pairOf(&pairs[i], now))
		}
	}
	slices.SortFunc(out, func(a, b Pair) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out, nil
}

func pairOf(p *v1alpha1.ClusterPair, now time.Time) Pair {
	out := Pair{
		Namespace: p.Namespace, Name: p.Name, ClusterID: p.Spec.ClusterID, TargetNamespace: p.Spec.TargetNamespace,
		Server: p.Spec.Server, Ready: metav1.ConditionUnknown, SecretName: p.Spec.SecretName, CreatedAt: p.CreationTimestamp,
		CredentialExpiryTime: p.Status.CredentialExpiryTime, ExpiryTime: p.Spec.ExpiryTime,
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PairReady); c != nil {
		out.Ready, out.Message = c.Status, c.Message
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PairTokenRotated); c != nil {
		out.TokenRotated = c.Status
		if c.Status != metav1.ConditionTrue {
			out.Message = c.Message
		}
	}
	switch {
	case ended(p.Spec.ExpiryTime, now):
		out.Ready, out.Message = metav1.ConditionFalse, "the pair has ended: an administrator has to pair again"
	case ended(p.Status.CredentialExpiryTime, now):
		out.Ready, out.Message = metav1.ConditionFalse, "the credential has ended: an administrator can renew it with kubectl motion pair renew"
	}
	return out
}

func ended(t *metav1.Time, now time.Time) bool { return t != nil && !now.Before(t.Time) }
