// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package route

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// RelayOf is the relay of a cluster.
func RelayOf(c *cluster.Cluster) Place {
	return Place{Cluster: c, Namespace: deploy.DefaultNamespace, Pod: deploy.RelayPod, Port: deploy.RelayPort}
}

// Observe looks at what decides about the ways. The error is about a cluster that
// gives no answer.
func Observe(ctx context.Context, source, target cluster.Namespace) (Ways, error) {
	var w Ways
	here, err := peersOf(ctx, source, target.Cluster.ID)
	if err != nil {
		return w, err
	}
	there, err := peersOf(ctx, target, source.Cluster.ID)
	if err != nil {
		return w, err
	}
	if w.At, w.NotDirect, err = published(ctx, target.Cluster); err != nil {
		return w, err
	}
	// That no policy is about the two at all is the agents' to say: it is about more
	// than the way.
	if here.known() && here.names == 0 {
		w.NotDirect = fmt.Sprintf("no MotionPolicy of %s allows an address of %s", source.Cluster, target.Cluster)
	}
	w.NotByRelay, err = notByRelay(ctx, source.Cluster, target.Cluster, here, there)
	return w, err
}

// allowed is what a namespace's policies say about the other cluster.
type allowed struct {
	// policies that are about both; -1 when they may not be looked at.
	policies int
	// names are how many networks and hosts they allow.
	names int
	relay bool
}

func (a allowed) known() bool { return a.policies > 0 }

func peersOf(ctx context.Context, n cluster.Namespace, other string) (allowed, error) {
	policies, err := PoliciesOf(ctx, n, other)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return allowed{policies: -1}, nil
	}
	if err != nil {
		return allowed{}, err
	}
	a := allowed{policies: len(policies)}
	for i := range policies {
		for _, p := range policies[i].Spec.Peers {
			if p.ClusterID == other {
				a.names += len(p.CIDRs) + len(p.Hosts)
				a.relay = a.relay || p.Relay
			}
		}
	}
	return a, nil
}

// PoliciesOf are the MotionPolicies that select a namespace and name a cluster, by
// name. A namespace's labels are not everybody's to read; its name always is one.
func PoliciesOf(ctx context.Context, n cluster.Namespace, other string) ([]v1alpha1.MotionPolicy, error) {
	policies, err := cluster.List[v1alpha1.MotionPolicy](ctx, n.Cluster, v1alpha1.MotionPolicies, "", metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("motionpolicies on %s: %w", n.Cluster, err)
	}
	set := labels.Set{corev1.LabelMetadataName: n.Name}
	if ns, err := n.Cluster.Kube.CoreV1().Namespaces().Get(ctx, n.Name, metav1.GetOptions{}); err == nil {
		set = ns.Labels
	}
	policies = slices.DeleteFunc(policies, func(p v1alpha1.MotionPolicy) bool {
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.NamespaceSelector)
		named := slices.ContainsFunc(p.Spec.Peers, func(o v1alpha1.PolicyPeer) bool { return o.ClusterID == other })
		return err != nil || !named || !selector.Matches(set)
	})
	slices.SortFunc(policies, func(a, b v1alpha1.MotionPolicy) int { return strings.Compare(a.Name, b.Name) })
	return policies, nil
}

// published says where a cluster's agents say that they can be dialled, or why
// nowhere.
func published(ctx context.Context, c *cluster.Cluster) (at, not string, err error) {
	svc, err := c.Kube.CoreV1().Services(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", "", nil
	case apierrors.IsNotFound(err):
		return "", fmt.Sprintf("the agents of %s have no service %s/%s", c, deploy.DefaultNamespace, deploy.AgentName), nil
	case err != nil:
		return "", "", fmt.Errorf("service %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	var out []string
	if text := svc.Annotations[v1alpha1.AnnotationEndpoints]; text != "" {
		out = append(out, strings.Split(text, ",")...)
	}
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		for _, in := range svc.Status.LoadBalancer.Ingress {
			out = append(out, "the load balancer "+in.IP+in.Hostname)
		}
	}
	if len(svc.Spec.Ports) > 0 && svc.Spec.Ports[0].NodePort != 0 {
		out = append(out, fmt.Sprintf("port %d of its nodes", svc.Spec.Ports[0].NodePort))
	}
	if len(out) == 0 {
		return "", fmt.Sprintf("the agents of %s publish no address: their service has neither a node port nor a load balancer that is ready, and no endpoint was given", c), nil
	}
	return strings.Join(out, ", "), "", nil
}

func notByRelay(ctx context.Context, source, target *cluster.Cluster, here, there allowed) (string, error) {
	for _, side := range []struct {
		c *cluster.Cluster
		a allowed
	}{{source, here}, {target, there}} {
		if side.a.known() && !side.a.relay {
			return fmt.Sprintf("no MotionPolicy of %s says relay: true", side.c), nil
		}
		why, err := unreachableRelay(ctx, side.c)
		if why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

// unreachableRelay is why the caller cannot forward ports to a cluster's relay.
func unreachableRelay(ctx context.Context, c *cluster.Cluster) (string, error) {
	_, err := c.Kube.AppsV1().StatefulSets(deploy.DefaultNamespace).Get(ctx, deploy.RelayName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("%s has no relay", c), nil
	case err != nil && !apierrors.IsForbidden(err):
		return "", fmt.Errorf("statefulset %s/%s on %s: %w", deploy.DefaultNamespace, deploy.RelayName, c, err)
	}
	review, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Resource: "pods", Subresource: "portforward", Verb: "create", Namespace: deploy.DefaultNamespace, Name: deploy.RelayPod,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking %s for rights: %w", c, err)
	}
	if !review.Status.Allowed {
		return fmt.Sprintf("you may not forward a port to pod %s/%s on %s", deploy.DefaultNamespace, deploy.RelayPod, c), nil
	}
	return "", nil
}
