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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MigratorRole is the ClusterRole of the credential. It is our own and not edit,
// because edit includes impersonating ServiceAccounts, minting their tokens and
// exec.
const MigratorRole = "kubectl-motion:migrator"

// SecretName is the Secret of a pair.
func SecretName(pair string) string { return "motion-pair-" + pair }

// AccountName is the ServiceAccount on the target for one source namespace, so
// that two namespaces that migrate to the same place have credentials of their own.
func AccountName(sourceID, sourceNamespace string) string {
	return "motion-from-" + digest(sourceID, sourceNamespace)
}

// RotatorName is what all objects of a pair's token rotator are called, on both clusters.
func RotatorName(sourceID, sourceNamespace, pair string) string {
	return "motion-renew-" + digest(sourceID, sourceNamespace, pair)
}

// RelayBindingName is the binding on the target that lets a pair's credential reach
// the relay.
func RelayBindingName(sourceID, sourceNamespace, pair string) string {
	return "motion-relay-" + digest(sourceID, sourceNamespace, pair)
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}

// boundAccounts lists the ServiceAccounts of the target namespace that any
// binding names, with the roles they have.
func (p *Pairing) boundAccounts(ctx context.Context, ns string) ([]string, error) {
	roles, err := p.Target.Kube.RbacV1().RoleBindings(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("rolebindings in %s on %s: %w", ns, p.Target, err)
	}
	clusterRoles, err := p.Target.Kube.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("clusterrolebindings on %s: %w", p.Target, err)
	}
	var out []string
	for i := range roles.Items {
		out = append(out, accounts(ns, roles.Items[i].Subjects, ns, roles.Items[i].RoleRef)...)
	}
	for i := range clusterRoles.Items {
		out = append(out, accounts(ns, clusterRoles.Items[i].Subjects, "", clusterRoles.Items[i].RoleRef)...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func accounts(namespace string, subjects []rbacv1.Subject, bindingNamespace string, role rbacv1.RoleRef) []string {
	if role.Name == MigratorRole {
		return nil
	}
	var out []string
	for _, s := range subjects {
		in := s.Namespace
		if in == "" {
			in = bindingNamespace
		}
		switch {
		case s.Kind == rbacv1.ServiceAccountKind && in == namespace:
			out = append(out, fmt.Sprintf("%s: %s %s", s.Name, role.Kind, role.Name))
		case s.Kind == rbacv1.GroupKind && s.Name == "system:serviceaccounts:"+namespace:
			out = append(out, fmt.Sprintf("all: %s %s", role.Kind, role.Name))
		}
	}
	return out
}
