// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// MigratorRole is the ClusterRole of the credential. It is our own and not edit,
// because edit includes impersonating ServiceAccounts, creating their tokens and
// exec.
const MigratorRole = "kubectl-motion:migrator"

// SecretName is the Secret of a pair.
func SecretName(pair string) string { return "motion-pair-" + pair }

// AccountName is the ServiceAccount of a pair's credential, in the agents' namespace
// of the target: there the credential can neither create pods nor Secrets, so it
// cannot make itself another token. Its bindings have the same name.
func AccountName(sourceID string, m Mapping, pair string) string {
	return "motion-from-" + digest(sourceID, m.Source, m.Target, pair)
}

// UseName is the Role, with its binding, of the ServiceAccounts that the
// credential's pods may run as.
func UseName(account string) string { return account + "-use" }

// ExpiryName is the Role, with its binding, by which the account's bindings are
// deleted when the pair has expired.
func ExpiryName(account string) string { return account + "-expiry" }

// RotatorName is the name of all objects of a pair's token rotator, on both clusters.
func RotatorName(sourceID, sourceNamespace, pair string) string {
	return "motion-rotate-" + digest(sourceID, sourceNamespace, pair)
}

// RelayBindingName is the binding on the target that lets a pair's credential reach
// the relay.
func RelayBindingName(sourceID, sourceNamespace, pair string) string {
	return "motion-relay-" + digest(sourceID, sourceNamespace, pair)
}

// digest has 120 bits: those who choose names of namespaces must not find two with
// the same one. The names must leave room for those of Jobs and pods.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:15])
}

// grantedRole is what a ServiceAccount of the target's namespace is bound to.
type grantedRole struct {
	// account is empty when all accounts of the namespace have the role.
	account string
	role    rbacv1.RoleRef
	// namespace in which the role holds; empty: in all of the cluster.
	namespace string
	// everybody has it: all ServiceAccounts of the cluster, or all identities. The
	// credential is one of them.
	everybody bool
}

func (g grantedRole) String() string {
	who, where := "serviceaccount "+g.account, "in namespace "+g.namespace
	switch {
	case g.everybody:
		who = "every identity"
	case g.account == "":
		who = "all ServiceAccounts"
	}
	if g.namespace == "" {
		where = "cluster-wide"
	}
	return fmt.Sprintf("%s: %s %s, %s", who, g.role.Kind, g.role.Name, where)
}

// grantedRoles lists every role that a ServiceAccount of a namespace of the target
// has, wherever the binding is and however it names the account.
func (p *Pairing) grantedRoles(ctx context.Context, ns string) ([]grantedRole, error) {
	roles, err := p.Target.Kube.RbacV1().RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("rolebindings on %s: %w", p.Target, err)
	}
	clusterRoles, err := p.Target.Kube.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("clusterrolebindings on %s: %w", p.Target, err)
	}
	var out []grantedRole
	for i := range roles.Items {
		b := &roles.Items[i]
		out = append(out, grantedBy(ns, b.Subjects, b.Namespace, b.RoleRef)...)
	}
	for i := range clusterRoles.Items {
		b := &clusterRoles.Items[i]
		out = append(out, grantedBy(ns, b.Subjects, "", b.RoleRef)...)
	}
	slices.SortFunc(out, func(a, b grantedRole) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out), nil
}

// isDefaultGrant reports whether Kubernetes, or our installation, gives a role to
// every identity.
func isDefaultGrant(role rbacv1.RoleRef, bindingNamespace string) bool {
	if role.Kind == "Role" {
		return bindingNamespace == deploy.DefaultNamespace && (role.Name == deploy.RelayRole || role.Name == "motion-viewer")
	}
	return slices.Contains([]string{
		"system:basic-user", "system:discovery", "system:public-info-viewer", "system:service-account-issuer-discovery", "kubectl-motion:viewer",
	}, role.Name)
}

// grantedBy are the roles that one binding gives to accounts of a namespace.
func grantedBy(namespace string, subjects []rbacv1.Subject, bindingNamespace string, role rbacv1.RoleRef) []grantedRole {
	var out []grantedRole
	for _, s := range subjects {
		g := grantedRole{role: role, namespace: bindingNamespace}
		user, isUser := strings.CutPrefix(s.Name, "system:serviceaccount:"+namespace+":")
		switch {
		case s.Kind == rbacv1.ServiceAccountKind && (s.Namespace == namespace || s.Namespace == "" && bindingNamespace == namespace):
			g.account = s.Name
		case s.Kind == rbacv1.UserKind && isUser:
			g.account = user
		case s.Kind == rbacv1.GroupKind && s.Name == "system:serviceaccounts:"+namespace:
		case s.Kind == rbacv1.GroupKind && (s.Name == "system:serviceaccounts" || s.Name == "system:authenticated") && !isDefaultGrant(role, bindingNamespace):
			g.everybody = true
		default:
			continue
		}
		out = append(out, g)
	}
	return out
}

// anyAccount in Request.ServiceAccounts allows all of them.
const anyAccount = "*"

// usable are the ServiceAccounts that pods of the credential may run as.
type usable struct {
	// any: all of them; names otherwise.
	any   bool
	names []string
	// named are those that an administrator named, now or in an earlier run.
	named []string
}

func (u usable) has(account string) bool {
	return u.any || account != "" && slices.Contains(u.names, account)
}

// usableAccounts are those that have no rights of their own, and those that an
// administrator named. The rest are refused by the target's admission policy,
// accounts that are created later included.
func (p *Pairing) usableAccounts(ctx context.Context, m Mapping) (u usable, err error) {
	if u.named = p.Request.ServiceAccounts; u.named == nil {
		if u.named, err = p.namedBefore(ctx, m); err != nil {
			return u, err
		}
	}
	if u.any = slices.Contains(u.named, anyAccount); u.any {
		return u, nil
	}
	granted, err := p.grantedRoles(ctx, m.Target)
	if err != nil {
		return u, err
	}
	candidates := []string{"default"}
	for _, n := range []cluster.Namespace{{Cluster: p.Source, Name: m.Source}, {Cluster: p.Target, Name: m.Target}} {
		list, err := n.Cluster.Kube.CoreV1().ServiceAccounts(n.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return u, fmt.Errorf("serviceaccounts of namespace %s: %w", n, err)
		}
		for i := range list.Items {
			candidates = append(candidates, list.Items[i].Name)
		}
	}
	u.names = withoutRights(candidates, u.named, granted)
	return u, nil
}

// withoutRights are the candidates that no role was granted to, and the named ones.
func withoutRights(candidates, named []string, granted []grantedRole) []string {
	names := slices.Clone(named)
	for _, c := range candidates {
		has := slices.ContainsFunc(granted, func(g grantedRole) bool { return !g.everybody && (g.account == c || g.account == "") })
		if !has {
			names = append(names, c)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// namedBefore are the accounts that an administrator named in an earlier run.
func (p *Pairing) namedBefore(ctx context.Context, m Mapping) ([]string, error) {
	role, err := p.Target.Kube.RbacV1().Roles(m.Target).Get(ctx, UseName(p.accountName(m)), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("role %s/%s on %s: %w", m.Target, UseName(p.accountName(m)), p.Target, err)
	}
	return strings.FieldsFunc(role.Annotations[v1alpha1.AnnotationServiceAccounts], func(r rune) bool { return r == ',' }), nil
}

func (p *Pairing) accountName(m Mapping) string {
	return AccountName(p.Source.ID, m, p.Request.Name)
}

// tokenSecrets are the Secrets of a namespace of the target that hold a token of a
// ServiceAccount without end. A user who may get Secrets by name may read them.
func (p *Pairing) tokenSecrets(ctx context.Context, ns string) ([]string, error) {
	list, err := p.Target.Kube.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{FieldSelector: "type=kubernetes.io/service-account-token"})
	if err != nil {
		return nil, fmt.Errorf("secrets of namespace %s on %s: %w", ns, p.Target, err)
	}
	var out []string
	for i := range list.Items {
		if s := &list.Items[i]; s.Type == "kubernetes.io/service-account-token" {
			out = append(out, fmt.Sprintf("secret %s: a token of serviceaccount %s that does not expire", s.Name, s.Annotations["kubernetes.io/service-account.name"]))
		}
	}
	return out, nil
}
