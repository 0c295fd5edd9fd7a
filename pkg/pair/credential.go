// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

type gvrType = schema.GroupVersionResource

// Keys of the pair's Secret.
const (
	keyServer    = "server"
	keyCA        = "ca.crt"
	keyToken     = "token"
	keyNamespace = "namespace"
)

// grantAll creates the credentials that are missing or stale.
func (p *Pairing) grantAll(ctx context.Context, d *Diff) error {
	for _, m := range p.Request.Namespaces {
		if err := p.grant(ctx, m, d.force || d.stale[m]); err != nil {
			return fmt.Errorf("namespace %s: %w", m.Source, err)
		}
	}
	return nil
}

func (p *Pairing) grant(ctx context.Context, m Mapping, due bool) error {
	secrets := []string{"secret/" + SecretName(p.Request.Name) + " in " + m.Source}
	if p.rotates() {
		secrets = append(secrets, "secret/"+p.rotatorName(m)+" in "+deploy.DefaultNamespace)
	}
	if !due {
		for _, s := range secrets {
			progress.Objectf(p.Sink, "%s unchanged", s)
		}
		return nil
	}
	pair, err := p.pairOf(ctx, m)
	if err != nil {
		return err
	}
	expiry := pair.Spec.ExpiryTime.Time
	token, err := requestToken(ctx, p.Target, p.accountName(m), p.ttl(expiry))
	if err != nil {
		return err
	}
	data, err := p.secretData(m)
	if err != nil {
		return err
	}
	data[keyToken] = []byte(token.Token)
	if err := p.putSecret(ctx, SecretName(p.Request.Name), m.Source, data); err != nil {
		return err
	}
	if p.rotates() {
		err = p.grantRotator(ctx, m, expiry)
	} else {
		err = p.dropRotator(ctx, m)
	}
	if err != nil {
		return err
	}
	for _, s := range secrets {
		progress.Objectf(p.Sink, "%s configured", s)
	}
	progress.Notef(p.Sink, "the credential expires at %s, the pair at %s",
		token.ExpirationTimestamp.UTC().Format(time.RFC3339), expiry.UTC().Format(time.RFC3339))
	return updateStatus(ctx, p.Source, m.Source, p.Request.Name, func(s *v1alpha1.ClusterPairStatus) {
		s.CredentialExpiryTime = &token.ExpirationTimestamp
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.PairTokenRotated)
	})
}

// requestToken creates a token of an account in the agents' namespace of c.
func requestToken(ctx context.Context, c *cluster.Cluster, account string, ttl time.Duration) (*authenticationv1.TokenRequestStatus, error) {
	seconds := int64(ttl / time.Second)
	token, err := c.Kube.CoreV1().ServiceAccounts(deploy.DefaultNamespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of serviceaccount %s/%s on %s: %w", deploy.DefaultNamespace, account, c, err)
	}
	return &token.Status, nil
}

// staleReason is why the credential of an earlier run cannot stay, and empty when it
// can: it is for the same place and of the same account, and of the lifetime that
// is asked for, half is still to come and not more than all of it.
func (p *Pairing) staleReason(ctx context.Context, m Mapping) (why string) {
	want, err := p.secretData(m)
	if err != nil {
		return err.Error()
	}
	secret, err := p.Source.Kube.CoreV1().Secrets(m.Source).Get(ctx, SecretName(p.Request.Name), metav1.GetOptions{})
	if err != nil {
		return "it is missing"
	}
	pair, err := p.pairOf(ctx, m)
	if err != nil {
		return "the pair is missing"
	}
	spec, err := p.pairSpec(m)
	if spec.ExpiryTime = pair.Spec.ExpiryTime; err != nil || spec.ExpiryTime == nil || !equality.Semantic.DeepEqual(pair.Spec, spec) {
		return "the pair is for another server or namespace"
	}
	token := string(secret.Data[keyToken])
	want[keyToken] = secret.Data[keyToken]
	claims, err := ReadClaims(token)
	if err != nil || !maps.EqualFunc(want, secret.Data, bytes.Equal) ||
		claims.Subject != "system:serviceaccount:"+deploy.DefaultNamespace+":"+p.accountName(m) {
		return "the present one was changed"
	}
	ttl := p.ttl(pair.Spec.ExpiryTime.Time)
	if left := time.Until(claims.Expiry); left <= ttl/2 || left > p.Request.CredentialTTL {
		return "half of its lifetime has passed, or another lifetime was requested"
	}
	target, err := cluster.New(ctx, p.Request.Name, m.Target, &rest.Config{
		Host: p.Target.Config.Host, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: want[keyCA]},
	})
	if err != nil || target.ID != p.Target.ID {
		return "the target does not take the present one"
	}
	return p.rotatorStale(ctx, m, pair.Spec.ExpiryTime.Time)
}

// targetCA are the certificates that the target's API server is verified with.
func (p *Pairing) targetCA() ([]byte, error) {
	if ca := p.Target.Config.CAData; len(ca) > 0 || p.Target.Config.CAFile == "" {
		return ca, nil
	}
	ca, err := os.ReadFile(p.Target.Config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("the CA certificate of %s: %w", p.Target, err)
	}
	return ca, nil
}

// secretData is what a Secret with a token for the target holds besides the token.
func (p *Pairing) secretData(m Mapping) (map[string][]byte, error) {
	ca, err := p.targetCA()
	return map[string][]byte{keyServer: []byte(p.Target.Config.Host), keyCA: ca, keyNamespace: []byte(m.Target)}, err
}

// Claims of a token. Only the API server that accepts it can verify them.
type Claims struct {
	Subject string
	Expiry  time.Time
}

// ReadClaims reads a token without verifying it.
func ReadClaims(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errors.New("the credential is not a JSON web token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}, errors.New("the credential is not a JSON web token")
	}
	var claims struct {
		Subject string `json:"sub"`
		Expiry  int64  `json:"exp"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return Claims{}, errors.New("the credential is not a JSON web token")
	}
	return Claims{Subject: claims.Subject, Expiry: time.Unix(claims.Expiry, 0)}, nil
}

// putSecret writes a Secret of ours on the source.
func (p *Pairing) putSecret(ctx context.Context, name, namespace string, data map[string][]byte) error {
	i, err := wanted(p.Source, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: ours(name, namespace), Data: data,
	})
	if err != nil {
		return err
	}
	if err := writeItem(ctx, &i); err != nil {
		return fmt.Errorf("secret %s/%s on %s: %w", namespace, name, p.Source, err)
	}
	return nil
}

// updateStatus changes the status of a pair, which others write, too.
func updateStatus(ctx context.Context, source *cluster.Cluster, namespace, name string, change func(*v1alpha1.ClusterPairStatus)) error {
	const tries = 5
	var err error
	for range tries {
		var pair *v1alpha1.ClusterPair
		if pair, err = cluster.Get[v1alpha1.ClusterPair](ctx, source, v1alpha1.ClusterPairs, namespace, name); err != nil {
			break
		}
		change(&pair.Status)
		pair.Status.ObservedGeneration = pair.Generation
		if _, err = cluster.UpdateStatus(ctx, source, v1alpha1.ClusterPairs, namespace, pair); !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("status of clusterpair %s/%s on %s: %w", namespace, name, source, err)
	}
	return nil
}

var errNoPair = errors.New("no such pair")
