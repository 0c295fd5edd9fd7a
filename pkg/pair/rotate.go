// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// MinTTL is the API server's own minimum for a bound token.
const MinTTL = 10 * time.Minute

// ErrExpired is returned by a Rotation after the pair's expiry.
var ErrExpired = errors.New("the pair has expired: ask an administrator to run kubectl motion pair again")

// Rotation is one run of a pair's token rotator. It acts as the token rotator's own
// account on each cluster.
type Rotation struct {
	// Source is the cluster of the pair.
	Source *cluster.Cluster
	// Namespace and Pair name the ClusterPair, Account the account on the target
	// whose token is made.
	Namespace, Pair, Account string
	// TTL of the new token; it never outlives the pair.
	TTL time.Duration
	// Data is the token rotator's Secret: server, ca.crt, namespace and its own token.
	Data map[string][]byte
}

// Run creates a new token, puts it into the pair's Secret and records the outcome in
// the pair's status. What the Secret contains is overwritten and never followed:
// users of the namespace can write it.
func (r *Rotation) Run(ctx context.Context) error {
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, r.Source, v1alpha1.ClusterPairs, r.Namespace, r.Pair)
	if err != nil {
		return fmt.Errorf("clusterpair %s/%s: %w", r.Namespace, r.Pair, err)
	}
	ends, err := r.rotate(ctx, pair)
	condition := metav1.Condition{
		Type: v1alpha1.PairTokenRotated, Status: metav1.ConditionTrue, ObservedGeneration: pair.Generation,
		Reason: v1alpha1.ReasonRotated, Message: "the token was rotated",
	}
	if err != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, v1alpha1.ReasonRotationFailed, err.Error()
	}
	if errors.Is(err, ErrExpired) {
		condition.Reason = v1alpha1.ReasonExpired
	}
	return errors.Join(err, updateStatus(ctx, r.Source, r.Namespace, r.Pair, func(s *v1alpha1.ClusterPairStatus) {
		if ends != nil {
			s.CredentialExpiryTime = ends
		}
		meta.SetStatusCondition(&s.Conditions, condition)
	}))
}

func (r *Rotation) rotate(ctx context.Context, pair *v1alpha1.ClusterPair) (*metav1.Time, error) {
	ttl := r.TTL
	if end := pair.Spec.ExpiryTime; end != nil {
		if ttl = min(ttl, time.Until(end.Time)); ttl < MinTTL {
			return nil, ErrExpired
		}
	}
	target, err := cluster.New(ctx, r.Pair, pair.Spec.TargetNamespace, &rest.Config{
		Host: string(r.Data[keyServer]), BearerToken: string(r.Data[keyToken]),
		TLSClientConfig: rest.TLSClientConfig{CAData: r.Data[keyCA]}, UserAgent: rest.DefaultKubernetesUserAgent(),
	})
	if err != nil {
		return nil, fmt.Errorf("the target of pair %s/%s: %w", r.Namespace, r.Pair, err)
	}
	if target.ID != pair.Spec.ClusterID {
		return nil, fmt.Errorf("pair %s/%s is for cluster %s, and the server %s is of cluster %q; ask an administrator to run kubectl motion pair again",
			r.Namespace, r.Pair, pair.Spec.ClusterID, target.Config.Host, target.ID)
	}
	token, err := requestToken(ctx, target, r.Account, ttl)
	if err != nil {
		return nil, err
	}
	secrets := r.Source.Kube.CoreV1().Secrets(r.Namespace)
	secret, err := secrets.Get(ctx, pair.Spec.SecretName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w; ask an administrator to run kubectl motion pair again", r.Namespace, pair.Spec.SecretName, err)
	}
	secret.Data = map[string][]byte{
		keyServer: r.Data[keyServer], keyCA: r.Data[keyCA], keyNamespace: []byte(pair.Spec.TargetNamespace), keyToken: []byte(token.Token),
	}
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager}); err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", r.Namespace, secret.Name, err)
	}
	return &token.ExpirationTimestamp, nil
}
