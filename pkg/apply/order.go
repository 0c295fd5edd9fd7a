// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import "k8s.io/apimachinery/pkg/runtime/schema"

// Tiers in the order they are written. An object needs those of lower tiers to
// be there, or is safer when they are: policies that restrict traffic come
// before what they restrict, quotas after everything that counts against them.
const (
	tierRights = iota
	tierConfig
	tierClaims
	tierServices
	tierPolicies
	tierOther
	tierWorkloads
	tierScaling
	tierTraffic
	tierQuota
	tiers
)

func tier(gk schema.GroupKind) int {
	switch gk.Group {
	case "rbac.authorization.k8s.io":
		return tierRights
	case "apps", "batch":
		return tierWorkloads
	case "autoscaling", "policy", "keda.sh", "autoscaling.k8s.io":
		return tierScaling
	case "networking.k8s.io":
		if gk.Kind == "NetworkPolicy" {
			return tierPolicies
		}
		return tierTraffic
	case "gateway.networking.k8s.io":
		return tierTraffic
	case "discovery.k8s.io":
		return tierServices
	case "":
		return coreTier(gk.Kind)
	}
	return tierOther
}

func coreTier(kind string) int {
	switch kind {
	case "Secret", "ConfigMap", "PodTemplate":
		return tierConfig
	case "PersistentVolumeClaim":
		return tierClaims
	case "Service", "Endpoints":
		return tierServices
	case "Pod", "ReplicationController":
		return tierWorkloads
	case "ResourceQuota", "LimitRange":
		return tierQuota
	}
	return tierOther
}
