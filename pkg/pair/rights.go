// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

type right struct{ group, resource, subresource, verb, namespace string }

func (r right) String() string {
	s := r.verb + " " + r.resource
	if r.subresource != "" {
		s += "/" + r.subresource
	}
	if r.group != "" {
		s += "." + r.group
	}
	if r.namespace != "" {
		s += " in " + r.namespace
	}
	return s
}

var installRights = [...]right{
	{group: "apiextensions.k8s.io", resource: "customresourcedefinitions", verb: "create"},
	{group: "rbac.authorization.k8s.io", resource: "clusterroles", verb: "create"},
	{group: "rbac.authorization.k8s.io", resource: "clusterrolebindings", verb: "create"},
	{group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicies", verb: "create"},
	{group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicybindings", verb: "create"},
	{resource: "namespaces", verb: "create"},
	{resource: "nodes", verb: "list"},
	{group: "apps", resource: "daemonsets", verb: "create", namespace: deploy.DefaultNamespace},
}

func (p *Pairing) checkRights(ctx context.Context) error {
	source, target := slices.Clone(installRights[:]), slices.Clone(installRights[:])
	target = append(target,
		right{group: "rbac.authorization.k8s.io", resource: "clusterroles", verb: "bind"},
		right{group: "rbac.authorization.k8s.io", resource: "rolebindings", verb: "list"},
		right{group: "rbac.authorization.k8s.io", resource: "clusterrolebindings", verb: "list"},
		right{resource: "serviceaccounts", verb: "create", namespace: deploy.DefaultNamespace},
		right{resource: "serviceaccounts", subresource: "token", verb: "create", namespace: deploy.DefaultNamespace})
	for _, m := range p.Request.Namespaces {
		source = append(source, right{resource: "secrets", verb: "create", namespace: m.Source})
		target = append(target,
			right{group: "rbac.authorization.k8s.io", resource: "rolebindings", verb: "create", namespace: m.Target})
	}
	for _, side := range []struct {
		c      *cluster.Cluster
		rights []right
	}{{p.Source, source}, {p.Target, target}} {
		missing, err := lacking(ctx, side.c, side.rights)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("on %s you may not: %s; nothing was changed: %w", side.c, strings.Join(missing, ", "), errNeedsAdmin)
		}
	}
	for _, m := range p.Request.Namespaces {
		if _, err := p.Source.Kube.CoreV1().Namespaces().Get(ctx, m.Source, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("the namespace to pair on %s: %w", p.Source, err)
		}
	}
	return nil
}

func lacking(ctx context.Context, c *cluster.Cluster, rights []right) ([]string, error) {
	var missing []string
	for _, r := range rights {
		review, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: r.group, Resource: r.resource, Subresource: r.subresource, Verb: r.verb, Namespace: r.namespace,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("asking %s for rights: %w", c, err)
		}
		if !review.Status.Allowed {
			missing = append(missing, r.String())
		}
	}
	return missing, nil
}
