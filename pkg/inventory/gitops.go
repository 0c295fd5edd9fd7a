// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// GitOps returns the name of the GitOps tool that manages the object, "" when there is
// no mark of one: its labels and annotations, or its field manager. The label
// app.kubernetes.io/instance is not a mark: Helm charts set it as well.
func (o *Object) GitOps() string {
	marks := []struct{ key, tool string }{
		{"argocd.argoproj.io/instance", argoCD},
		{"argocd.argoproj.io/tracking-id", argoCD},
		{"kustomize.toolkit.fluxcd.io/name", flux},
		{"helm.toolkit.fluxcd.io/name", flux},
		{"fluxcd.io/sync-checksum", flux},
		{"objectset.rio.cattle.io/id", "Rancher Fleet or the Helm controller of k3s"},
		{"fleet.cattle.io/bundle-id", fleet},
		{"configsync.gke.io/resource-id", configSync},
		{"configmanagement.gke.io/managed", configSync},
	}
	for _, m := range marks {
		if o.Labels[m.key] != "" || o.Annotations[m.key] != "" {
			return m.tool
		}
	}
	return o.facts.gitOpsManager
}

const (
	argoCD     = "Argo CD"
	flux       = "Flux"
	fleet      = "Rancher Fleet"
	configSync = "Config Sync"
)

// gitOpsManager returns the GitOps tool among the field managers of u, or "".
func gitOpsManager(u *unstructured.Unstructured) string {
	found := ""
	for _, e := range u.GetManagedFields() {
		if e.Subresource != "" {
			continue
		}
		switch e.Manager {
		case "argocd-controller", "argocd-application-controller":
			found = argoCD
		case "kustomize-controller", "helm-controller":
			found = cmp.Or(found, flux)
		case "fleetagent", "fleet-agent":
			found = cmp.Or(found, fleet)
		case "configsync":
			found = cmp.Or(found, configSync)
		}
	}
	return found
}
