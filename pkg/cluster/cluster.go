// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster is one Kubernetes cluster as a value.
//
// A migration has two of them, source and target, and every function that
// touches a cluster takes the one it means as an argument: nothing global knows
// a cluster. A Cluster also says who we are there, because what a user may see
// and write differs between the two.
package cluster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Cluster is a connection to one cluster with one identity.
type Cluster struct {
	// Name is what the user calls it (a context or a pair); only for people.
	Name string
	// ID is the UID of the kube-system namespace.
	ID string
	// Namespace is the namespace that the identity works in by default.
	Namespace string

	Config    *rest.Config
	Dynamic   dynamic.Interface
	Kube      kubernetes.Interface
	Discovery discovery.CachedDiscoveryInterface
	Mapper    meta.ResettableRESTMapper
}

// ErrUnreachable is returned by New when the API server does not answer.
var ErrUnreachable = errors.New("cluster is unreachable")

// New connects to a cluster and finds out which one it is. The error wraps
// ErrUnreachable when the API server does not answer.
//
// The ID needs get on the namespace kube-system, which the ClusterRole
// kubectl-motion:viewer grants once the clusters are paired. Without that right
// ID stays empty; callers that need it must say so to the user.
func New(ctx context.Context, name, namespace string, config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	// No rate: callers with many requests bound how many are in flight, and the
	// API server's priority and fairness guards it. A rate would make a quick
	// server wait.
	config.QPS, config.RateLimiter = -1, nil
	config.WarningHandler = rest.NoWarnings{}

	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	cached := memory.NewMemCacheClient(kube.Discovery())
	c := &Cluster{
		Name: name, Namespace: namespace, Config: config,
		Dynamic: dyn, Kube: kube, Discovery: cached,
		Mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached),
	}
	return c, c.identify(ctx)
}

func (c *Cluster) identify(ctx context.Context) error {
	ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case err == nil:
		c.ID = string(ns.UID)
		return nil
	case apierrors.IsForbidden(err):
		return nil
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("cluster %s (%s): the credential is not accepted: %w", c.Name, c.Config.Host, err)
	default:
		return fmt.Errorf("cluster %s (%s): %w: %w", c.Name, c.Config.Host, ErrUnreachable, err)
	}
}

// Resource returns a client for objects of gvr in namespace; with an empty
// namespace, for cluster-scoped ones.
func (c *Cluster) Resource(gvr schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return c.Dynamic.Resource(gvr)
	}
	return c.Dynamic.Resource(gvr).Namespace(namespace)
}

// ResourceFor maps a kind to its resource and says whether it is namespaced.
// Discovery is asked again once when the kind is unknown, as a CRD may have
// come meanwhile.
func (c *Cluster) ResourceFor(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	m, err := c.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.Discovery.Invalidate()
		c.Mapper.Reset()
		m, err = c.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return schema.GroupVersionResource{}, false, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return m.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// In is the same cluster and identity with another default namespace.
func (c *Cluster) In(namespace string) *Cluster {
	other := *c
	other.Namespace = namespace
	return &other
}

// String names the cluster for messages.
func (c *Cluster) String() string { return c.Name }
