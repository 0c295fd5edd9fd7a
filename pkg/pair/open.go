// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Open connects to the target of a pair with the pair's credential. The cluster
// that answers must be the one that was paired.
//
// The server, its CA and the token come from a Secret that users of the namespace
// can write, and whoever runs this may have more rights than they do. So a server
// that is not the one in the pair's status, which users cannot write, is not
// contacted; and no credential of the caller's goes anywhere: only the pair's does.
func Open(ctx context.Context, source *cluster.Cluster, namespace, name string) (*cluster.Cluster, error) {
	p, err := cluster.Get[v1alpha1.ClusterPair](ctx, source, v1alpha1.ClusterPairs, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, missingPair(ctx, source, namespace, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("clusterpair %s/%s on %s: %w", namespace, name, source, err)
	}
	secret, err := source.Kube.CoreV1().Secrets(namespace).Get(ctx, p.Spec.SecretName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("the credential of pair %s/%s on %s: %w; an administrator can renew it by pairing again", namespace, name, source, err)
	}
	for _, key := range []string{keyServer, keyToken} {
		if len(secret.Data[key]) == 0 {
			return nil, fmt.Errorf("secret %s/%s on %s has no %s: an administrator can renew it by pairing again", namespace, secret.Name, source, key)
		}
	}
	if server := string(secret.Data[keyServer]); p.Status.Server != "" && server != p.Status.Server {
		return nil, fmt.Errorf("secret %s/%s on %s leads to %s, and the pair to %s: it was changed, nothing was sent there; an administrator can mend it by pairing again",
			namespace, secret.Name, source, server, p.Status.Server)
	}
	target, err := cluster.New(ctx, name, p.Spec.TargetNamespace, &rest.Config{
		Host:            string(secret.Data[keyServer]),
		BearerToken:     string(secret.Data[keyToken]),
		TLSClientConfig: rest.TLSClientConfig{CAData: secret.Data[keyCA]},
		UserAgent:       rest.DefaultKubernetesUserAgent(),
	})
	if err != nil {
		return nil, fmt.Errorf("the target of pair %s/%s: %w", namespace, name, err)
	}
	if target.ID != p.Spec.ClusterID {
		return nil, fmt.Errorf("pair %s/%s was made for cluster %s, but %s is cluster %q: an administrator has to pair again",
			namespace, name, p.Spec.ClusterID, target.Config.Host, target.ID)
	}
	return target, nil
}

// missingPair says which pairs there are.
func missingPair(ctx context.Context, source *cluster.Cluster, namespace, name string, cause error) error {
	pairs, err := cluster.List[v1alpha1.ClusterPair](ctx, source, v1alpha1.ClusterPairs, namespace, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("clusterpair %s/%s on %s: %w", namespace, name, source, cause)
	}
	names := make([]string, 0, len(pairs))
	for i := range pairs {
		names = append(names, pairs[i].Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: namespace %s on %s has no pairs; an administrator makes one with: kubectl motion pair %s --to-context CONTEXT -n %s",
			errNoPair, namespace, source, name, namespace)
	}
	return fmt.Errorf("%w: %s in namespace %s on %s; there are: %s", errNoPair, name, namespace, source, strings.Join(names, ", "))
}
