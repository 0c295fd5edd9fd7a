// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Kind is a namespaced kind of the source and the version it is read at.
type Kind struct {
	GVR  schema.GroupVersionResource
	Kind string
	// OnTarget is false when the target does not serve the kind at any version
	// that the source serves; then GVR has the version the source prefers.
	OnTarget bool
	// TargetVersions are the versions that the target serves, if any: they
	// explain OnTarget being false.
	TargetVersions []string
	// rank is the position of the group in the source's order; of two groups that
	// serve the same objects, the lower one is used.
	rank int
}

// GVK returns the kind at its version.
func (k Kind) GVK() schema.GroupVersionKind { return k.GVR.GroupVersion().WithKind(k.Kind) }

// Ignored is a kind that was not listed, because no user writes it or it is excluded.
type Ignored struct {
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
	Why      string `json:"why"`
}

// Served is the discovery information of one cluster.
type Served struct {
	// Groups in the cluster's order of preference, versions likewise.
	Groups []*metav1.APIGroup
	// Resources of each group and version.
	Resources map[schema.GroupVersion][]metav1.APIResource
	// Failed are groups whose API server did not answer.
	Failed map[schema.GroupVersion]error
}

// Discover reads the kinds that c serves. A group whose API server does not answer
// is in Failed and not an error.
func Discover(c *cluster.Cluster) (Served, error) {
	groups, lists, err := c.Discovery.ServerGroupsAndResources()
	s := Served{Groups: groups, Resources: map[schema.GroupVersion][]metav1.APIResource{}}
	if failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err); partial {
		s.Failed = failed
	} else if err != nil {
		return s, fmt.Errorf("cluster %s: discovering kinds: %w", c.Name, err)
	}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return s, fmt.Errorf("cluster %s: discovery returned the group version %q: %w", c.Name, l.GroupVersion, err)
		}
		s.Resources[gv] = append(s.Resources[gv], l.APIResources...)
	}
	return s, nil
}

// versions returns the versions at which s serves the resource with the verb create,
// most preferred first.
func (s Served) versions(gr schema.GroupResource) []string {
	var out []string
	for _, g := range s.Groups {
		if g.Name != gr.Group {
			continue
		}
		for _, v := range g.Versions {
			gv := schema.GroupVersion{Group: g.Name, Version: v.Version}
			if slices.ContainsFunc(s.Resources[gv], func(r metav1.APIResource) bool {
				return r.Name == gr.Resource && r.Namespaced && slices.Contains(r.Verbs, "create")
			}) {
				out = append(out, v.Version)
			}
		}
	}
	return out
}

// Kinds pairs the namespaced kinds of the source with the versions of the
// target. The version is the target's most preferred of those that the source
// serves too: the source's API server does the conversion, and nothing is written
// in a version that the target deprecates.
func Kinds(src, dst Served) ([]Kind, []Ignored) {
	var kinds []Kind
	var passed []Ignored
	for rank, g := range src.Groups {
		for _, r := range groupResources(src, g) {
			gr := schema.GroupResource{Group: g.Name, Resource: r.Name}
			if why := ignored(gr, r); why != "" {
				passed = append(passed, Ignored{Group: gr.Group, Resource: gr.Resource, Why: why})
				continue
			}
			k := choose(gr, r.Kind, src.versions(gr), dst.versions(gr))
			k.rank = rank
			kinds = append(kinds, k)
		}
	}
	return kinds, passed
}

// groupResources returns the listable namespaced resources of a group, each once, at
// its most preferred version.
func groupResources(s Served, g *metav1.APIGroup) []metav1.APIResource {
	seen := map[string]bool{}
	var out []metav1.APIResource
	for _, v := range g.Versions {
		for _, r := range s.Resources[schema.GroupVersion{Group: g.Name, Version: v.Version}] {
			listable := r.Namespaced && !strings.Contains(r.Name, "/") && slices.Contains(r.Verbs, "list")
			if listable && !seen[r.Name] {
				seen[r.Name] = true
				out = append(out, r)
			}
		}
	}
	return out
}

func choose(gr schema.GroupResource, kind string, src, dst []string) Kind {
	k := Kind{Kind: kind, TargetVersions: dst}
	for _, v := range dst {
		if slices.Contains(src, v) {
			k.GVR, k.OnTarget = gr.WithVersion(v), true
			return k
		}
	}
	k.GVR = gr.WithVersion(src[0])
	return k
}

// ignored returns the reason why a kind is not listed, or "".
func ignored(gr schema.GroupResource, r metav1.APIResource) string {
	switch gr {
	case schema.GroupResource{Resource: "events"},
		schema.GroupResource{Group: "events.k8s.io", Resource: "events"}:
		return "events of the source"
	case schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"},
		schema.GroupResource{Group: "coordination.k8s.io", Resource: "leasecandidates"}:
		return "leases are locks and heartbeats of running processes"
	case schema.GroupResource{Group: "storage.k8s.io", Resource: "csistoragecapacities"}:
		return "written by the storage drivers of each cluster"
	}
	if !slices.Contains(r.Verbs, "create") {
		return "objects of this kind cannot be created"
	}
	return ""
}
