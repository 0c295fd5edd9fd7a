// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// compose is everything that should be there, in the order in which it is written.
func (p *Pairing) compose(ctx context.Context) ([]item, error) {
	var out []item
	for _, c := range []*cluster.Cluster{p.Source, p.Target} {
		items, err := p.installation(ctx, c)
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
	}
	for _, m := range p.Request.Namespaces {
		for _, part := range []func(context.Context, Mapping) ([]item, error){
			p.composeNamespace, p.composePolicies,
			func(ctx context.Context, m Mapping) ([]item, error) { return p.composeAccess(ctx, m, false) },
		} {
			items, err := part(ctx, m)
			if err != nil {
				return nil, err
			}
			out = append(out, items...)
		}
	}
	return out, nil
}

const podSecurityPrefix = "pod-security.kubernetes.io/"

// composeNamespace is the target's namespace where it is missing. One that is
// there stays as it is.
func (p *Pairing) composeNamespace(ctx context.Context, m Mapping) ([]item, error) {
	_, err := p.Target.Kube.CoreV1().Namespaces().Get(ctx, m.Target, metav1.GetOptions{})
	if err == nil {
		return nil, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("namespace %s on %s: %w", m.Target, p.Target, err)
	}
	if p.Request.KeepNamespaces {
		return nil, fmt.Errorf("namespace %s is not on %s, and --create-namespace=false: whoever makes namespaces there has to make it first", m.Target, p.Target)
	}
	source, err := p.Source.Kube.CoreV1().Namespaces().Get(ctx, m.Source, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("namespace %s on %s: %w", m.Source, p.Source, err)
	}
	labels, note := podSecurity(p.Request.PodSecurity, source.Labels)
	i, err := wanted(p.Target, &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name: m.Target, Labels: labels, Annotations: map[string]string{v1alpha1.AnnotationCreatedBy: "pair"},
		},
	})
	i.note = note
	return []item{i}, err
}

// podSecurity is the labels of a namespace that is made: the level that was asked
// for, else what the source has, else restricted.
func podSecurity(level string, source map[string]string) (labels map[string]string, note string) {
	labels = map[string]string{}
	if level == "" {
		for k, v := range source {
			if strings.HasPrefix(k, podSecurityPrefix) {
				labels[k] = v
			}
		}
		if enforced, ok := labels[podSecurityPrefix+"enforce"]; ok {
			return labels, "Pod Security " + enforced + ", as on the source"
		}
		level = "restricted"
	}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels[podSecurityPrefix+mode] = level
	}
	return labels, "Pod Security " + level
}

// composeAccess is the credential's account, the pair, and what renews it. renew
// asks for a new expiry whatever is left of the present one.
func (p *Pairing) composeAccess(ctx context.Context, m Mapping, renew bool) ([]item, error) {
	account := AccountName(p.Source.ID, m.Source)
	c := composer{}
	c.add(p.Target, &corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: ours(account, m.Target),
		AutomountServiceAccountToken: new(bool),
	}, "")
	c.add(p.Target, bindingOf(account, m.Target, "ClusterRole", MigratorRole, m.Target), "may do in the namespace what a migration does there")
	if p.relay() {
		binding := bindingOf(account, m.Target, "Role", deploy.RelayRole, deploy.DefaultNamespace)
		binding.Name = RelayBindingName(p.Source.ID, m.Source, p.Request.Name)
		c.add(p.Target, binding, "may forward a port to the relay")
	}
	expiry, err := p.expiry(ctx, m, renew)
	if err != nil {
		return nil, err
	}
	if p.renews() {
		p.composeRenewal(ctx, &c, m)
	}
	spec := p.pairSpec(m)
	spec.ExpiryTime = &expiry
	c.add(p.Source, &v1alpha1.ClusterPair{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ClusterPair"},
		ObjectMeta: ours(p.Request.Name, m.Source), Spec: spec,
	}, fmt.Sprintf("to namespace %s on %s, until %s", m.Target, p.Target, expiry.UTC().Format(time.RFC3339)))
	c.add(p.Source, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: ours(SecretName(p.Request.Name), m.Source),
	}, "a credential for "+m.Target+" there that ends after "+p.ttl(expiry.Time).String())
	c.items[len(c.items)-1].secret = true
	return c.items, c.err
}

// composer collects items.
type composer struct {
	items []item
	err   error
}

func (c *composer) add(on *cluster.Cluster, o runtime.Object, note string) *item {
	i, err := wanted(on, o)
	if err != nil && c.err == nil {
		c.err = err
	}
	i.note = note
	c.items = append(c.items, i)
	return &c.items[len(c.items)-1]
}

// bindingOf binds an account of a namespace to a role, in binding's own namespace.
func bindingOf(account, accountNamespace, kind, role, namespace string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: ours(account, namespace),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: accountNamespace}},
	}
}

func (p *Pairing) pairSpec(m Mapping) v1alpha1.ClusterPairSpec {
	return v1alpha1.ClusterPairSpec{ClusterID: p.Target.ID, TargetNamespace: m.Target, SecretName: SecretName(p.Request.Name)}
}

// pairOf is the pair that is there.
func (p *Pairing) pairOf(ctx context.Context, m Mapping) (*v1alpha1.ClusterPair, error) {
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, p.Source, v1alpha1.ClusterPairs, m.Source, p.Request.Name)
	if err != nil {
		return nil, fmt.Errorf("clusterpair %s/%s on %s: %w", m.Source, p.Request.Name, p.Source, err)
	}
	return pair, nil
}

// expiry is when the pair ends: as it is, when at least half of what is asked for
// is still to come and not more than all of it; else anew.
func (p *Pairing) expiry(ctx context.Context, m Mapping, renew bool) (metav1.Time, error) {
	fresh := metav1.NewTime(time.Now().Add(p.Request.Expires).Truncate(time.Second))
	pair, err := p.pairOf(ctx, m)
	switch {
	case apierrors.IsNotFound(err):
		return fresh, nil
	case err != nil:
		return fresh, err
	case pair.Spec.ClusterID != p.Target.ID:
		return fresh, fmt.Errorf("clusterpair %s/%s points at another cluster (%s): kubectl motion unpair it, or choose another name", m.Source, p.Request.Name, pair.Spec.ClusterID)
	case pair.Spec.ExpiryTime == nil || renew:
		return fresh, nil
	}
	if left := time.Until(pair.Spec.ExpiryTime.Time); left <= p.Request.Expires/2 || left > p.Request.Expires {
		return fresh, nil
	}
	return *pair.Spec.ExpiryTime, nil
}

// ttl is how long a credential that is made now lives.
func (p *Pairing) ttl(expiry time.Time) time.Duration {
	return min(p.Request.CredentialTTL, time.Until(expiry)).Round(time.Second)
}
