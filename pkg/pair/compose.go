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
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
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

// PodSecurityKeep leaves a target namespace that enforces no Pod Security level as
// it is.
const PodSecurityKeep = "keep"

// composeNamespace is the target's namespace where it is missing. One that exists
// stays as it is, and must enforce a Pod Security level unless an administrator
// decides otherwise: users of another cluster will create pods there.
func (p *Pairing) composeNamespace(ctx context.Context, m Mapping) ([]item, error) {
	existing, err := p.Target.Kube.CoreV1().Namespaces().Get(ctx, m.Target, metav1.GetOptions{})
	if err == nil {
		return p.composeExisting(ctx, m, existing)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("namespace %s on %s: %w", m.Target, p.Target, err)
	}
	if p.Request.KeepNamespaces {
		return nil, fmt.Errorf("namespace %s does not exist on %s, and --create-namespace=false: create it first", m.Target, p.Target)
	}
	source, err := p.Source.Kube.CoreV1().Namespaces().Get(ctx, m.Source, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("namespace %s on %s: %w", m.Source, p.Source, err)
	}
	level := p.Request.PodSecurity
	if level == PodSecurityKeep {
		level = ""
	}
	labels, note := podSecurity(level, source.Labels)
	i, err := wanted(p.Target, &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name: m.Target, Labels: labels, Annotations: map[string]string{v1alpha1.AnnotationCreatedBy: "pair"},
		},
	})
	i.note = note
	return []item{i}, err
}

// composeExisting sets the Pod Security level that was asked for.
func (p *Pairing) composeExisting(ctx context.Context, m Mapping, ns *corev1.Namespace) ([]item, error) {
	switch p.Request.PodSecurity {
	case PodSecurityKeep:
		return nil, nil
	case "":
		if ns.Labels[podSecurityPrefix+"enforce"] != "" {
			return nil, nil
		}
		if pair, err := p.pairOf(ctx, m); err == nil && pair.Spec.ClusterID == p.Target.ID && pair.Spec.TargetNamespace == m.Target {
			return nil, nil // decided when it was paired first
		}
		return nil, hint.New(
			fmt.Errorf("namespace %s on %s enforces no Pod Security level: users of namespace %s on %s could create privileged pods there", m.Target, p.Target, m.Source, p.Source),
			"use --pod-security restricted (or baseline, privileged) to set one, or --pod-security keep to accept this")
	}
	labels, note := podSecurity(p.Request.PodSecurity, nil)
	i, err := wanted(p.Target, &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: m.Target, Labels: labels},
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

// composeAccess is the credential's account, the pair, and its token rotator. renew
// asks for a new expiry also before the present one.
func (p *Pairing) composeAccess(ctx context.Context, m Mapping, renew bool) ([]item, error) {
	expiry, err := p.expiry(ctx, m, renew)
	if err != nil {
		return nil, err
	}
	c := &composer{}
	if err := p.composeAccount(ctx, c, m, expiry); err != nil {
		return nil, err
	}
	if p.rotates() {
		p.composeRotator(ctx, c, m, expiry)
	}
	spec, err := p.pairSpec(m)
	if err != nil {
		return nil, err
	}
	spec.ExpiryTime = &expiry
	c.add(p.Source, &v1alpha1.ClusterPair{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ClusterPair"},
		ObjectMeta: ours(p.Request.Name, m.Source), Spec: spec,
	}, fmt.Sprintf("to namespace %s on %s, until %s", m.Target, p.Target, expiry.UTC().Format(time.RFC3339)))
	c.add(p.Source, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: ours(SecretName(p.Request.Name), m.Source),
	}, "a token for namespace "+m.Target+" that expires after "+p.ttl(expiry.Time).String())
	c.items[len(c.items)-1].secret = true
	return c.items, c.err
}

// composeAccount is the credential's account on the target and all that it may do.
// The account is in the agents' namespace, so that no pod and no Secret that the
// credential makes can hold a token of it.
func (p *Pairing) composeAccount(ctx context.Context, c *composer, m Mapping, expiry metav1.Time) error {
	account := p.accountName(m)
	may, err := p.usableAccounts(ctx, m)
	if err != nil {
		return err
	}
	c.add(p.Target, expiringAccount(account, m.Target, expiry), "deleted by the target at "+expiry.UTC().Format(time.RFC3339))
	c.add(p.Target, bindingOf(account, "ClusterRole", MigratorRole, m.Target), "allowed in the namespace: what a migration does there")
	use := roleOf(UseName(account), m.Target)
	rule := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"serviceaccounts"}, ResourceNames: may.names, Verbs: []string{"use"}}
	note := "allowed: pods that run as any ServiceAccount"
	switch {
	case may.any:
		use.Rules = []rbacv1.PolicyRule{rule}
	case len(may.names) == 0: // RBAC takes an empty list of names for any
		note = "allowed: only pods without a token of a ServiceAccount"
	default:
		use.Rules, note = []rbacv1.PolicyRule{rule}, "allowed: pods that run as "+strings.Join(may.names, ", ")
	}
	if len(may.named) > 0 {
		use.Annotations = map[string]string{v1alpha1.AnnotationServiceAccounts: strings.Join(may.named, ",")}
	}
	c.add(p.Target, use, note)
	c.add(p.Target, withName(bindingOf(account, "Role", use.Name, m.Target), use.Name), "")
	end := roleOf(ExpiryName(account), m.Target, rbacv1.PolicyRule{
		APIGroups: []string{rbacv1.GroupName}, Resources: []string{"rolebindings"}, ResourceNames: []string{account, use.Name}, Verbs: []string{"delete"},
	})
	c.add(p.Target, end, "")
	c.add(p.Target, withName(bindingOf(deploy.ReaperName, "Role", end.Name, m.Target), end.Name), "the target may delete the bindings when the pair has expired")
	if p.relay() {
		name := RelayBindingName(p.Source.ID, m.Source, p.Request.Name)
		c.add(p.Target, withName(bindingOf(account, "Role", deploy.RelayRole, deploy.DefaultNamespace), name), "allowed: to forward a port to the relay")
	}
	return nil
}

// withName is a binding with a name that is not its account's.
func withName(b *rbacv1.RoleBinding, name string) *rbacv1.RoleBinding {
	b.Name = name
	return b
}

// expiringAccount is an account in the agents' namespace of the target that the
// target deletes at expiry: every token of it ends then.
func expiringAccount(name, namespace string, expiry metav1.Time) *corev1.ServiceAccount {
	a := rotatorAccount(name)
	a.Annotations = map[string]string{
		v1alpha1.AnnotationExpiryTime: expiry.UTC().Format(time.RFC3339), v1alpha1.AnnotationTargetNamespace: namespace,
	}
	return a
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

// bindingOf binds an account of the agents' namespace to a role, in binding's own namespace.
func bindingOf(account, kind, role, namespace string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: ours(account, namespace),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: deploy.DefaultNamespace}},
	}
}

func (p *Pairing) pairSpec(m Mapping) (v1alpha1.ClusterPairSpec, error) {
	ca, err := p.targetCA()
	return v1alpha1.ClusterPairSpec{
		ClusterID: p.Target.ID, TargetNamespace: m.Target, Server: p.Target.Config.Host, CABundle: ca, SecretName: SecretName(p.Request.Name),
	}, err
}

// pairOf is the pair that is there.
func (p *Pairing) pairOf(ctx context.Context, m Mapping) (*v1alpha1.ClusterPair, error) {
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, p.Source, v1alpha1.ClusterPairs, m.Source, p.Request.Name)
	if err != nil {
		return nil, fmt.Errorf("clusterpair %s/%s on %s: %w", m.Source, p.Request.Name, p.Source, err)
	}
	return pair, nil
}

// expiry is when the pair expires: as it is, when at least half of --expires is
// still to come and not more than all of it; else --expires from now.
func (p *Pairing) expiry(ctx context.Context, m Mapping, renew bool) (metav1.Time, error) {
	fresh := metav1.NewTime(time.Now().Add(p.Request.Expires).Truncate(time.Second))
	pair, err := p.pairOf(ctx, m)
	switch {
	case apierrors.IsNotFound(err):
		return fresh, nil
	case err != nil:
		return fresh, err
	case pair.Spec.ClusterID != p.Target.ID:
		return fresh, fmt.Errorf("clusterpair %s/%s is for another cluster (%s): run kubectl motion unpair, or choose another name", m.Source, p.Request.Name, pair.Spec.ClusterID)
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
