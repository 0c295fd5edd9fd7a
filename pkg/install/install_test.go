// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

func object(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: deploy.DefaultNamespace, Name: name}
}

func agentPod(node, version string, ready corev1.ConditionStatus) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: object("agent-" + node)}
	p.Labels = map[string]string{"app.kubernetes.io/name": deploy.AgentName}
	if version != "" {
		p.Labels[deploy.VersionLabel] = version
	}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: deploy.AgentName, Image: "image:" + version}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	if ready != corev1.ConditionTrue {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "\x1b[31mno such image"},
		}}}
	}
	return p
}

func shipment(name, node string, number int64, shipped metav1.ConditionStatus) runtime.Object {
	s := &v1alpha1.VolumeShipment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: name},
	}
	s.Spec.Sync, s.Status.ActiveSync, s.Status.NodeName = number, number, node
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ShipmentShipped, Status: shipped}}
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
	if err != nil {
		panic(err)
	}
	return &unstructured.Unstructured{Object: u}
}

func clusterOf(kube []runtime.Object, shipments ...runtime.Object) *cluster.Cluster {
	return &cluster.Cluster{
		Name: "lab", Kube: fake.NewClientset(kube...),
		Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{v1alpha1.VolumeShipments: "VolumeShipmentList"}, shipments...),
	}
}

func TestTheStatusTellsEachNodesVersionReadinessAndShipments(t *testing.T) {
	relay := agentPod("one", "", corev1.ConditionTrue)
	relay.Name, relay.Labels = deploy.RelayPod, map[string]string{"app.kubernetes.io/name": deploy.RelayName}
	c := clusterOf([]runtime.Object{
		&appsv1.DaemonSet{ObjectMeta: object(deploy.AgentName)}, relay,
		agentPod("two", "v1.0.0", corev1.ConditionFalse), agentPod("one", "v1.1.0", corev1.ConditionTrue), agentPod("three", "", corev1.ConditionTrue),
	}, shipment("working", "one", 2, metav1.ConditionUnknown), shipment("done", "one", 2, metav1.ConditionTrue), shipment("asked-nothing", "one", 0, metav1.ConditionUnknown),
		shipment("unclaimed", "", 2, metav1.ConditionUnknown), shipment("lost", "gone", 2, metav1.ConditionUnknown))
	s, err := Observe(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != 3 || s.Nodes[0].Node != "one" || s.Nodes[0].Served != 3 || s.Nodes[0].Working != 1 || !s.Nodes[0].Ready || s.Working() != 1 {
		t.Errorf("%+v", s.Nodes)
	}
	if n := s.Nodes[2]; n.Ready || !strings.Contains(n.Trouble, "ImagePullBackOff") || !strings.Contains(s.Troubles(), "node two") {
		t.Errorf("%+v, %q", n, s.Troubles())
	}
	if s.Relay != "ready" || !slices.Equal(s.Lost, []string{"blue/lost (node gone)"}) {
		t.Errorf("relay %s, lost %q", s.Relay, s.Lost)
	}
	skew := s.Skew("v1.1.0")
	if !strings.Contains(skew, "unknown, v1.0.0") || strings.Contains(skew, "v1.1.0, ") {
		t.Errorf("skew %q", skew)
	}
	s.Nodes = s.Nodes[:1]
	if skew := s.Skew("v1.1.0"); skew != "" {
		t.Errorf("skew of the same versions: %q", skew)
	}
}

func TestNothingInstalledIsNoError(t *testing.T) {
	s, err := Observe(t.Context(), clusterOf(nil))
	if err != nil || s.Installed || s.Nodes == nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatWasSetStays(t *testing.T) {
	ds := &appsv1.DaemonSet{ObjectMeta: object(deploy.AgentName)}
	ds.Spec.Template.Spec.Containers = []corev1.Container{{Name: deploy.AgentName, Image: "mirror/agent:1"}, {Name: deploy.DevicesContainer}}
	ds.Spec.Template.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/opt/kubelet/pods"}}}}
	svc := &corev1.Service{ObjectMeta: object(deploy.AgentName)}
	svc.Spec.Type, svc.Annotations = corev1.ServiceTypeLoadBalancer, map[string]string{v1alpha1.AnnotationEndpoints: "a:1,b:2"}
	binding := &rbacv1.RoleBinding{ObjectMeta: object(deploy.RelayRole), Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "team"}}}
	c := clusterOf([]runtime.Object{ds, svc, binding})
	var o deploy.Options
	if err := Keep(t.Context(), c, &o); err != nil {
		t.Fatal(err)
	}
	if o.AgentImage != "mirror/agent:1" || o.KubeletRoot != "/opt/kubelet" || !o.LoadBalancer || !o.BlockDevices || !o.Relay ||
		!slices.Equal(o.Endpoints, []string{"a:1", "b:2"}) || !slices.Equal(o.RelayGroups, []string{"team"}) {
		t.Errorf("kept %+v", o)
	}
	// The default image follows the plugin's version, and what is asked for now wins.
	ds.Spec.Template.Spec.Containers[0].Image = deploy.DefaultRepository + ":v1.0.0"
	o = deploy.Options{Endpoints: []string{"c:3"}, RelayGroups: []string{"other"}}
	if err := Keep(t.Context(), clusterOf([]runtime.Object{ds, svc, binding}), &o); err != nil || o.AgentImage != "" || o.Endpoints[0] != "c:3" || o.RelayGroups[0] != "other" {
		t.Errorf("kept %+v, %v", o, err)
	}
}
