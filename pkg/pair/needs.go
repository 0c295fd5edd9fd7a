// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// migratorRole is what pairing grants, before administrators add to it.
const migratorRole = "kubectl-motion:migrator-core"

// need is everything that is done with a resource.
type need struct {
	group, resource string // resource with its subresource, as in deployments/scale
	verbs           []string
}

// String names the resource as kubectl does.
func (n need) String() string {
	s := strings.Join(n.verbs, "/") + " " + n.resource
	if n.group != "" {
		s += "." + n.group
	}
	return s
}

// targetNeeds are the rights that a migration needs in its namespace of the target:
// those that pairing grants. The manifest is the one list of them.
func targetNeeds() ([]need, error) {
	manifests, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		return nil, err
	}
	for _, m := range manifests {
		if m.GetKind() != "ClusterRole" || m.GetName() != migratorRole {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m.Object, &role); err != nil {
			return nil, err
		}
		var out []need
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					out = append(out, need{group, resource, rule.Verbs})
				}
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("clusterrole %s is not among the manifests", migratorRole)
}

var reading = []string{"get", "list", "watch"}

// sourceNeeds are the rights that a migration needs in its namespace of the source:
// to read what moves, to stop and start the workloads, and to make and remove
// mount pods, copies of claims and the migration's own objects.
func sourceNeeds() ([]need, error) {
	all, err := targetNeeds()
	if err != nil {
		return nil, err
	}
	out := make([]need, 0, len(all)+1)
	for _, n := range all {
		switch {
		case n.group == v1alpha1.GroupName, n.resource == "pods", n.resource == "persistentvolumeclaims":
		case n.group == "apps", n.group == "batch", strings.HasPrefix(n.resource, "replicationcontrollers"):
			n.verbs = without(n.verbs, "create", "delete")
		case n.resource == "secrets":
			n.verbs = reading
		default:
			n.verbs = without(n.verbs, "create", "delete", "update", "patch")
		}
		out = append(out, n)
	}
	return append(out, need{v1alpha1.GroupName, "clusterpairs", []string{"get", "list"}}), nil
}

func without(verbs []string, out ...string) []string {
	return slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return slices.Contains(out, v) })
}

// LackingOnTarget is what of a migration the identity of target may not do in its
// namespace.
func LackingOnTarget(ctx context.Context, target *cluster.Cluster) ([]string, error) {
	needs, err := targetNeeds()
	if err != nil {
		return nil, err
	}
	return lackingOf(ctx, target, needs)
}

// LackingOnSource is the same for the namespace of the source.
func LackingOnSource(ctx context.Context, source *cluster.Cluster) ([]string, error) {
	needs, err := sourceNeeds()
	if err != nil {
		return nil, err
	}
	return lackingOf(ctx, source, needs)
}

// lackingOf asks for the rules that hold in the namespace, and one by one for what
// they do not give: they are not all where others than RBAC authorise.
func lackingOf(ctx context.Context, c *cluster.Cluster, needs []need) ([]string, error) {
	review, err := c.Kube.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: c.Namespace},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking %s for rights: %w", c, err)
	}
	var out []string
	for _, n := range needs {
		missing := need{group: n.group, resource: n.resource}
		for _, verb := range n.verbs {
			if covered(review.Status.ResourceRules, n, verb) {
				continue
			}
			resource, subresource, _ := strings.Cut(n.resource, "/")
			lacks, err := lacking(ctx, c, []right{{group: n.group, resource: resource, subresource: subresource, verb: verb, namespace: c.Namespace}})
			if err != nil {
				return nil, err
			}
			if len(lacks) > 0 {
				missing.verbs = append(missing.verbs, verb)
			}
		}
		if len(missing.verbs) > 0 {
			out = append(out, missing.String())
		}
	}
	return out, nil
}

// covered says whether a rule gives the verb on every object of the resource.
func covered(rules []authorizationv1.ResourceRule, n need, verb string) bool {
	_, subresource, isSub := strings.Cut(n.resource, "/")
	return slices.ContainsFunc(rules, func(r authorizationv1.ResourceRule) bool {
		return len(r.ResourceNames) == 0 && has(r.Verbs, verb) && has(r.APIGroups, n.group) &&
			(has(r.Resources, n.resource) || isSub && slices.Contains(r.Resources, "*/"+subresource))
	})
}

func has(list []string, s string) bool { return slices.Contains(list, s) || slices.Contains(list, "*") }
