// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package route

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/endpoint"
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
)

// Observe reads what decides about the routes. The error is about a cluster that does
// not answer.
func Observe(ctx context.Context, source, target cluster.Namespace) (Options, error) {
	var o Options
	here, err := allowedBy(ctx, source, target.Cluster.ID)
	if err != nil {
		return o, err
	}
	there, err := allowedBy(ctx, target, source.Cluster.ID)
	if err != nil {
		return o, err
	}
	if o.Addresses, o.DirectProblem, err = addresses(ctx, target.Cluster); err != nil {
		return o, err
	}
	// That no policy at all is about the two is for the agents to report: it is about
	// more than the route.
	if here.known() && here.addresses == 0 {
		o.DirectProblem = fmt.Sprintf("no MotionPolicy on %s allows an address of %s", source.Cluster, target.Cluster)
	}
	o.RelayProblem, err = relayProblem(ctx, source.Cluster, target.Cluster, here, there)
	return o, err
}

// allowed is what a namespace's policies allow about the other cluster.
type allowed struct {
	// policies that are about both; -1 when the caller may not read them.
	policies int
	// addresses is how many networks and hosts they allow.
	addresses int
	relay     bool
}

func (a allowed) known() bool { return a.policies > 0 }

func allowedBy(ctx context.Context, n cluster.Namespace, peerID string) (allowed, error) {
	found, err := policy.List(ctx, n, peerID)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return allowed{policies: -1}, nil
	}
	if err != nil {
		return allowed{}, err
	}
	a := allowed{policies: len(found.Policies)}
	for i := range found.Policies {
		p := policy.Peer(&found.Policies[i], peerID)
		a.addresses += len(p.CIDRs) + len(p.Hosts)
		a.relay = a.relay || p.Relay
	}
	return a, nil
}

// addresses are where a cluster's agents can be dialled, in words, or why nowhere.
func addresses(ctx context.Context, c *cluster.Cluster) (at, problem string, err error) {
	svc, err := c.Kube.CoreV1().Services(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", "", nil
	case apierrors.IsNotFound(err):
		return "", fmt.Sprintf("%s has no service %s/%s of the agents", c, deploy.DefaultNamespace, deploy.AgentName), nil
	case err != nil:
		return "", "", fmt.Errorf("service %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	e := endpoint.Of(svc)
	if e.None() {
		return "", fmt.Sprintf("the agents of %s publish no address: service %s/%s has no node port, no ready load balancer and no endpoint", c, deploy.DefaultNamespace, deploy.AgentName), nil
	}
	out := e.Given
	for _, a := range e.LoadBalancer {
		out = append(out, "load balancer "+a)
	}
	if e.NodePort != 0 {
		out = append(out, fmt.Sprintf("port %d of its nodes", e.NodePort))
	}
	return strings.Join(out, ", "), "", nil
}

func relayProblem(ctx context.Context, source, target *cluster.Cluster, here, there allowed) (string, error) {
	for _, side := range []struct {
		c *cluster.Cluster
		a allowed
	}{{source, here}, {target, there}} {
		if side.a.known() && !side.a.relay {
			return fmt.Sprintf("no MotionPolicy on %s has relay: true", side.c), nil
		}
		problem, err := portForwardProblem(ctx, side.c)
		if problem != "" || err != nil {
			return problem, err
		}
	}
	return "", nil
}

// portForwardProblem is why the caller cannot forward ports to a cluster's relay.
func portForwardProblem(ctx context.Context, c *cluster.Cluster) (string, error) {
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
		return "", fmt.Errorf("selfsubjectaccessreviews on %s: %w", c, err)
	}
	if !review.Status.Allowed {
		return fmt.Sprintf("your identity on %s cannot create pods/portforward for pod %s/%s", c, deploy.DefaultNamespace, deploy.RelayPod), nil
	}
	return "", nil
}
