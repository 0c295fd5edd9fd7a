// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of all kinds of kubectl-motion.
const GroupName = "kubectl-motion.dev"

// Labels, annotations and the field manager of kubectl-motion.
const (
	// FieldManager is the field manager of every write of the plugin, in
	// server-side apply and in managedFields.
	FieldManager = "kubectl-motion"

	// LabelManagedBy marks the objects that exist only for a migration (mount
	// pods, shipments, pair Secrets, reports). They are never migrated themselves.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedByValue is the value of LabelManagedBy on such objects.
	ManagedByValue = "kubectl-motion"
	// LabelMigration is the name of the Migration that an object belongs to.
	LabelMigration = GroupName + "/migration"
	// LabelMountPod marks mount pods: pods that only keep a volume mounted for an agent.
	LabelMountPod = GroupName + "/mount-pod"

	// AnnotationEndpoints on the Service of the agents lists addresses (host:port,
	// comma-separated) at which other clusters reach the agents. They are tried
	// before the addresses that are discovered from the Service.
	AnnotationEndpoints = GroupName + "/endpoints"
	// AnnotationSkip on a source object excludes it from migrations.
	AnnotationSkip = GroupName + "/skip"
	// AnnotationOriginalState on a target workload on standby has, as JSON, the
	// values that activation restores (replicas, suspend, node selector).
	AnnotationOriginalState = GroupName + "/original-state"
	// AnnotationSource on a target object identifies the object that it was copied
	// from, as <cluster ID>/<namespace>/<UID>.
	AnnotationSource = GroupName + "/source"
	// AnnotationStopped on a source workload is the name of the Migration that
	// stopped it.
	AnnotationStopped = GroupName + "/stopped-by"
	// AnnotationCreatedBy marks a target namespace that pair created.
	AnnotationCreatedBy = GroupName + "/created-by"
	// AnnotationExpiryTime on a ServiceAccount of a pair is when the target deletes it
	// (RFC 3339), with the bindings in the namespace of AnnotationTargetNamespace.
	AnnotationExpiryTime = GroupName + "/expiry-time"
	// AnnotationTargetNamespace on a ServiceAccount of a pair is the namespace of the
	// target in which it has rights.
	AnnotationTargetNamespace = GroupName + "/target-namespace"
	// AnnotationServiceAccounts on a pair's Role lists the ServiceAccounts with rights
	// of their own (comma-separated) that an administrator let the pair's pods run as.
	AnnotationServiceAccounts = GroupName + "/service-accounts"
)

// SchemeGroupVersion is the API group and version of this package.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// Resources of this group, for use with dynamic clients.
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
