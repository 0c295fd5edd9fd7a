// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

// Open connects to the target of a pair with the pair's credential. The cluster
// that answers must be the one that was paired.
//
// The token comes from a Secret that users of the namespace can write, and the
// caller may have more rights than they do. So server and CA come from the spec of
// the pair, which only administrators write; and no credential of the caller's is
// sent: only the pair's is.
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
		return nil, hint.New(fmt.Errorf("the credential of pair %s/%s on %s: %w", namespace, name, source, err), askPair)
	}
	config, err := configOf(p, secret)
	if err != nil {
		return nil, hint.New(fmt.Errorf("pair %s/%s on %s: %w", namespace, name, source, err), askPair)
	}
	target, err := cluster.New(ctx, name, p.Spec.TargetNamespace, config)
	if err != nil {
		return nil, fmt.Errorf("the target of pair %s/%s: %w", namespace, name, err)
	}
	if target.ID != p.Spec.ClusterID {
		return nil, fmt.Errorf("pair %s/%s is for cluster %s, and the server %s is of cluster %q: nothing was sent to it but the pair's token",
			namespace, name, p.Spec.ClusterID, target.Config.Host, target.ID)
	}
	return target, nil
}

const askPair = "ask an administrator to run kubectl motion pair again"

// configOf is the connection of a pair. A Secret that names another server was
// changed after pairing, and the token in it may not be the pair's.
func configOf(p *v1alpha1.ClusterPair, secret *corev1.Secret) (*rest.Config, error) {
	switch {
	case p.Spec.Server == "":
		return nil, errors.New("spec.server is empty; nothing was contacted")
	case len(secret.Data[keyToken]) == 0:
		return nil, fmt.Errorf("secret %s has no %s", secret.Name, keyToken)
	}
	// In this order, so that the message is the same each time.
	for _, pinned := range []struct {
		key  string
		want []byte
	}{{keyServer, []byte(p.Spec.Server)}, {keyCA, p.Spec.CABundle}} {
		if got, found := secret.Data[pinned.key]; found && !bytes.Equal(got, pinned.want) {
			return nil, fmt.Errorf("secret %s was changed: its %s is not that of the pair's spec; nothing was contacted", secret.Name, pinned.key)
		}
	}
	return &rest.Config{
		Host: p.Spec.Server, BearerToken: string(secret.Data[keyToken]),
		TLSClientConfig: rest.TLSClientConfig{CAData: p.Spec.CABundle}, UserAgent: rest.DefaultKubernetesUserAgent(),
	}, nil
}

// missingPair is the error about a pair that does not exist: it names those that do.
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
		return hint.New(fmt.Errorf("%w %s: namespace %s on %s has no pairs", errNoPair, name, namespace, source),
			"ask an administrator to run: kubectl motion pair %s --to-context CONTEXT -n %s", name, namespace)
	}
	return fmt.Errorf("%w %s: namespace %s on %s has: %s", errNoPair, name, namespace, source, strings.Join(names, ", "))
}
