// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every kind of this project.
const GroupName = "kubectl-motion.dev"

// Keys that the plugin puts on objects, and the identity it writes with.
const (
	// FieldManager names the workflow in managedFields and in server-side apply.
	FieldManager = "kubectl-motion"

	// LabelManagedBy marks every object that exists only because of a migration
	// (mount pods, shipments, pair Secrets, ledgers). Capture skips such objects
	// with the reason motion-internal.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedByValue is the value of LabelManagedBy on such objects.
	ManagedByValue = "kubectl-motion"
	// LabelMigration carries the name of the Migration that an object serves.
	LabelMigration = GroupName + "/migration"
	// LabelMountPod marks mount pods.
	LabelMountPod = GroupName + "/mount-pod"

	// AnnotationEndpoints on the agents' Service names, separated by commas, host:port
	// pairs at which other clusters reach it, before all that the agents find out.
	AnnotationEndpoints = GroupName + "/endpoints"
	// AnnotationSkip on a source object keeps it from being moved.
	AnnotationSkip = GroupName + "/skip"
	// AnnotationOriginalState on a target workload holds, as JSON, the values that
	// activation restores (replicas, suspend, node selector).
	AnnotationOriginalState = GroupName + "/original-state"
	// AnnotationSource on a target object names where it came from:
	// <cluster id>/<namespace>/<uid>.
	AnnotationSource = GroupName + "/source"
	// AnnotationStopped on a source workload names the Migration that stopped it.
	AnnotationStopped = GroupName + "/stopped-by"
	// AnnotationCreatedBy on a namespace says that pairing made it.
	AnnotationCreatedBy = GroupName + "/created-by"
)

// SchemeGroupVersion is the group and version of this package.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// Resources of this group, for dynamic clients.
var (
	ClusterPairs    = SchemeGroupVersion.WithResource("clusterpairs")
	Migrations      = SchemeGroupVersion.WithResource("migrations")
	VolumeShipments = SchemeGroupVersion.WithResource("volumeshipments")
	MotionPolicies  = SchemeGroupVersion.WithResource("motionpolicies")
)

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&ClusterPair{}, &ClusterPairList{},
		&Migration{}, &MigrationList{},
		&VolumeShipment{}, &VolumeShipmentList{},
		&MotionPolicy{}, &MotionPolicyList{},
	)
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
