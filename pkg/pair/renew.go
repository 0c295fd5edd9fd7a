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

// ErrExpired is returned by a renewal after the administrator's expiry.
var ErrExpired = errors.New("the pair has reached its end: an administrator has to pair again")

// Renewal is one run of a pair's token rotator. It acts as the token rotator's own account on
// each cluster.
type Renewal struct {
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

// Run makes a new token, puts it into the pair's Secret and notes the outcome in
// the pair's status. What the pair's Secret says is overwritten, not followed:
// users of the namespace can write it.
func (r *Renewal) Run(ctx context.Context) error {
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, r.Source, v1alpha1.ClusterPairs, r.Namespace, r.Pair)
	if err != nil {
		return fmt.Errorf("clusterpair %s/%s: %w", r.Namespace, r.Pair, err)
	}
	ends, err := r.renew(ctx, pair)
	condition := metav1.Condition{
		Type: v1alpha1.PairRenewed, Status: metav1.ConditionTrue, ObservedGeneration: pair.Generation,
		Reason: v1alpha1.ReasonRenewed, Message: "the credential was renewed",
	}
	if err != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, v1alpha1.ReasonRenewalFailed, err.Error()
	}
	if errors.Is(err, ErrExpired) {
		condition.Reason = v1alpha1.ReasonExpired
	}
	return errors.Join(err, noteExpiry(ctx, r.Source, r.Namespace, r.Pair, func(s *v1alpha1.ClusterPairStatus) {
		if ends != nil {
			s.Server, s.CredentialExpiryTime = string(r.Data[keyServer]), ends
		}
		meta.SetStatusCondition(&s.Conditions, condition)
	}))
}

func (r *Renewal) renew(ctx context.Context, pair *v1alpha1.ClusterPair) (*metav1.Time, error) {
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
		return nil, fmt.Errorf("pair %s/%s was made for cluster %s, but %s is cluster %q: an administrator has to pair again",
			r.Namespace, r.Pair, pair.Spec.ClusterID, target.Config.Host, target.ID)
	}
	token, err := mint(ctx, target, pair.Spec.TargetNamespace, r.Account, ttl)
	if err != nil {
		return nil, err
	}
	secrets := r.Source.Kube.CoreV1().Secrets(r.Namespace)
	secret, err := secrets.Get(ctx, pair.Spec.SecretName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w; an administrator can make it anew by pairing again", r.Namespace, pair.Spec.SecretName, err)
	}
	secret.Data = map[string][]byte{
		keyServer: r.Data[keyServer], keyCA: r.Data[keyCA], keyNamespace: []byte(pair.Spec.TargetNamespace), keyToken: []byte(token.Token),
	}
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager}); err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", r.Namespace, secret.Name, err)
	}
	return &token.ExpirationTimestamp, nil
}
