// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func manifests(t *testing.T, o Options) []*unstructured.Unstructured {
	t.Helper()
	out, err := Manifests(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func find[T any](t *testing.T, objects []*unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			typed := new(T)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true); err != nil {
				t.Fatal(err)
			}
			return typed
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

func TestTheAPIComesFirstAndTheAgentsLast(t *testing.T) {
	objects := manifests(t, Options{})
	rank := map[string]int{"CustomResourceDefinition": 0, "Namespace": 1, "DaemonSet": 3}
	last := 0
	for _, o := range objects {
		r, ok := rank[o.GetKind()]
		if !ok {
			r = 2
		}
		if r < last {
			t.Errorf("%s %s comes too late", o.GetKind(), o.GetName())
		}
		last = r
	}
	if got := objects[len(objects)-1].GetKind(); got != "DaemonSet" {
		t.Errorf("the last object is a %s", got)
	}
}

func TestEveryFileOfTheFolderIsInstalledAndListedForKustomize(t *testing.T) {
	onDisk, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crds, err := filepath.Glob("crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	onDisk = slices.DeleteFunc(append(onDisk, crds...), func(f string) bool { return f == "kustomization.yaml" })
	var kustomization struct{ Resources []string }
	data, err := os.ReadFile("kustomization.yaml")
	if err == nil {
		err = yaml.Unmarshal(data, &kustomization)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(onDisk)
	slices.Sort(kustomization.Resources)
	if !slices.Equal(onDisk, kustomization.Resources) {
		t.Errorf("kustomization lists %q, the folder has %q", kustomization.Resources, onDisk)
	}
	documents := 0
	for _, f := range onDisk {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		documents += strings.Count(string(data), "\nkind: ")
	}
	if got := len(manifests(t, Options{})); got != documents {
		t.Errorf("%d objects are installed, the files have %d", got, documents)
	}
}

func TestOptionsReachEveryPlaceThatNamesTheirDefault(t *testing.T) {
	objects := manifests(t, Options{Namespace: "movers", AgentImage: "registry.test/agent:1", KubeletRoot: "/opt/kubelet/"})
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			continue
		}
		text, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []string{`"namespace":"kubectl-motion"`, "serviceaccount:kubectl-motion:", DefaultKubeletRoot, DefaultRepository} {
			if strings.Contains(string(text), old) {
				t.Errorf("%s %s still has %s", o.GetKind(), o.GetName(), old)
			}
		}
	}
	agent := find[appsv1.DaemonSet](t, objects, "DaemonSet", AgentName)
	if agent.Namespace != "movers" || agent.Spec.Template.Spec.Containers[0].Image != "registry.test/agent:1" {
		t.Errorf("agent in %s with image %s", agent.Namespace, agent.Spec.Template.Spec.Containers[0].Image)
	}
	if got := agent.Spec.Template.Spec.Volumes[0].HostPath.Path; got != "/opt/kubelet/pods" {
		t.Errorf("pods folder %s", got)
	}
	if got := agent.Spec.Template.Spec.Volumes[1].HostPath.Path; got != "/var/lib/kubectl-motion" {
		t.Errorf("state folder %s", got)
	}
	find[rbacv1.ClusterRole](t, objects, "ClusterRole", "kubectl-motion:agent")
}

func TestAKubeletRootThatIsNoFolderOfItsOwnIsRefused(t *testing.T) {
	for _, root := range []string{"kubelet", "/", "//", "/.."} {
		if _, err := Manifests(Options{KubeletRoot: root}); err == nil {
			t.Errorf("kubelet root %q is taken", root)
		}
	}
}

func TestTheAgentSeesTwoFoldersOfTheNodeAndIsNotPrivileged(t *testing.T) {
	pod := find[appsv1.DaemonSet](t, manifests(t, Options{}), "DaemonSet", AgentName).Spec.Template.Spec
	var paths []string
	for _, v := range pod.Volumes {
		if v.HostPath == nil {
			t.Errorf("volume %s is no hostPath", v.Name)
			continue
		}
		paths = append(paths, v.HostPath.Path)
	}
	if want := []string{"/var/lib/kubelet/pods", "/var/lib/kubectl-motion"}; !slices.Equal(paths, want) {
		t.Errorf("the agent sees %q, want %q", paths, want)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Error("the agent shares a namespace with the node")
	}
	c := pod.Containers[0].SecurityContext
	if c.Privileged == nil || *c.Privileged || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem {
		t.Error("the agent is privileged or can write its image")
	}
	if len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" {
		t.Error("the agent does not drop all capabilities first")
	}
	if m := pod.Containers[0].VolumeMounts[0]; m.Name != "pods" || !m.ReadOnly || m.RecursiveReadOnly != nil {
		t.Errorf("the kubelet's folder is not mounted read-only, its volumes writable: %+v", m)
	}
}

func TestCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		want    []corev1.Capability
	}{
		"the default has none for special files": {Options{}, []corev1.Capability{"DAC_OVERRIDE", "CHOWN", "FOWNER", "FSETID", "LINUX_IMMUTABLE"}},
		"Preserve adds those for special files": {
			Options{PreserveSpecialFiles: true, BlockDevices: true},
			[]corev1.Capability{"DAC_OVERRIDE", "CHOWN", "FOWNER", "FSETID", "LINUX_IMMUTABLE", "SETFCAP", "MKNOD", "SYS_ADMIN"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, container := range find[appsv1.DaemonSet](t, manifests(t, c.options), "DaemonSet", AgentName).Spec.Template.Spec.Containers {
				if container.Name != AgentName {
					continue
				}
				if got := container.SecurityContext.Capabilities; !slices.Equal(got.Add, c.want) || !slices.Equal(got.Drop, []corev1.Capability{"ALL"}) {
					t.Errorf("capabilities %v", got)
				}
				if HasPreserve(&container) != c.options.PreserveSpecialFiles {
					t.Error("HasPreserve does not recognise the option")
				}
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	objects := manifests(t, Options{Relay: true})
	for _, container := range append(find[appsv1.DaemonSet](t, objects, "DaemonSet", AgentName).Spec.Template.Spec.Containers,
		find[appsv1.StatefulSet](t, objects, "StatefulSet", RelayName).Spec.Template.Spec.Containers...) {
		limit := container.Resources.Limits.Memory().Value()
		i := slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if i < 0 {
			t.Errorf("%s has no GOMEMLIMIT", container.Name)
			continue
		}
		soft := resource.MustParse(strings.TrimSuffix(container.Env[i].Value, "B"))
		if share := float64(soft.Value()) / float64(limit); share < 0.75 || share > 0.85 {
			t.Errorf("%s: GOMEMLIMIT is %.0f %% of the limit", container.Name, share*100)
		}
	}
}

func TestTheAgentWritesShipmentStatusAndNothingElse(t *testing.T) {
	objects := manifests(t, Options{})
	read := []string{"get", "list", "watch"}
	check := func(rules []rbacv1.PolicyRule) {
		for _, r := range rules {
			for _, verb := range r.Verbs {
				status := len(r.Resources) == 1 && r.Resources[0] == "volumeshipments/status" && verb == "update"
				if !status && !slices.Contains(read, verb) {
					t.Errorf("the agent may %s %v", verb, r.Resources)
				}
			}
			for _, res := range r.Resources {
				if res == "secrets" || res == "configmaps" || res == "*" || res == "nodes" {
					t.Errorf("the agent may read %s", res)
				}
			}
		}
	}
	check(find[rbacv1.ClusterRole](t, objects, "ClusterRole", "kubectl-motion:agent").Rules)
	check(find[rbacv1.Role](t, objects, "Role", AgentName).Rules)
}

func TestTheCredentialOfAPairReachesNoMoreThanAnApplication(t *testing.T) {
	role := find[rbacv1.ClusterRole](t, manifests(t, Options{}), "ClusterRole", "kubectl-motion:migrator-core")
	forbidden := []string{
		"serviceaccounts/token", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers",
		"roles", "rolebindings", "clusterroles", "nodes", "namespaces", "clusterpairs", "volumeshipments/status", "*",
	}
	for _, r := range role.Rules {
		for _, verb := range r.Verbs {
			if slices.Contains([]string{"impersonate", "bind", "escalate", "*", "deletecollection"}, verb) {
				t.Errorf("the credential may %s %v", verb, r.Resources)
			}
		}
		for _, res := range r.Resources {
			if slices.Contains(forbidden, res) {
				t.Errorf("the credential reaches %s", res)
			}
			if res == "secrets" && (slices.Contains(r.Verbs, "list") || slices.Contains(r.Verbs, "watch")) {
				t.Error("the credential may list Secrets")
			}
		}
	}
}

func TestTheRelayIsAnUnprivilegedPodWithAFixedNameThatWritesNothing(t *testing.T) {
	for _, o := range manifests(t, Options{}) {
		if strings.Contains(o.GetName(), "relay") {
			t.Errorf("%s %s is installed unasked", o.GetKind(), o.GetName())
		}
	}
	objects := manifests(t, Options{Relay: true, Namespace: "movers", AgentImage: "registry.test/agent:1"})
	set := find[appsv1.StatefulSet](t, objects, "StatefulSet", "motion-relay")
	pod := set.Spec.Template.Spec
	if set.Name+"-0" != RelayPod || *set.Spec.Replicas != 1 || set.Namespace != "movers" || pod.Containers[0].Image != "registry.test/agent:1" {
		t.Errorf("the relay is %s/%s with %d replicas of %s", set.Namespace, set.Name, *set.Spec.Replicas, pod.Containers[0].Image)
	}
	c := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || len(c.Capabilities.Add) > 0 || len(pod.Volumes) > 0 || pod.HostNetwork {
		t.Error("the relay has more than it needs")
	}
	role := find[rbacv1.Role](t, objects, "Role", RelayRole)
	if len(role.Rules) != 1 || !slices.Equal(role.Rules[0].ResourceNames, []string{RelayPod}) || !slices.Equal(role.Rules[0].Resources, []string{"pods/portforward"}) {
		t.Errorf("the right to the relay is %+v", role.Rules)
	}
	for _, rules := range [][]rbacv1.PolicyRule{
		find[rbacv1.ClusterRole](t, objects, "ClusterRole", "kubectl-motion:relay").Rules, find[rbacv1.Role](t, objects, "Role", "motion-relay").Rules,
	} {
		for _, r := range rules {
			for _, verb := range r.Verbs {
				if !slices.Contains([]string{"get", "list", "watch"}, verb) {
					t.Errorf("the relay may %s %v", verb, r.Resources)
				}
			}
		}
	}
}

func TestEveryPodOfTheNamespaceTakesConnectionsOnlyWhereAPolicySaysSo(t *testing.T) {
	objects := manifests(t, Options{Relay: true})
	if p := find[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy", "default-deny"); len(p.Spec.PodSelector.MatchLabels) > 0 || len(p.Spec.Ingress) > 0 {
		t.Errorf("default-deny is %+v", p.Spec)
	}
	ports := func(name string) (out []string) {
		for _, in := range find[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy", name).Spec.Ingress {
			for _, p := range in.Ports {
				from := "all"
				if len(in.From) == 1 && in.From[0].NamespaceSelector.MatchLabels["kubectl-motion.dev/monitoring"] == "true" {
					from = "monitoring"
				}
				out = append(out, p.Port.String()+" from "+from)
			}
		}
		return out
	}
	if got := ports("motion-agent"); !slices.Equal(got, []string{"data from all", "health from monitoring"}) {
		t.Errorf("agents accept connections at %q", got)
	}
	if got := ports("motion-relay"); !slices.Equal(got, []string{"health from monitoring"}) {
		t.Errorf("the relay accepts connections at %q", got)
	}
}

func TestHowAgentsAreReachedIsTheAdministrators(t *testing.T) {
	s := find[corev1.Service](t, manifests(t, Options{LoadBalancer: true, Endpoints: []string{"motion.example:4747", "[2001:db8::1]:1"}}), "Service", AgentName)
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Annotations[v1alpha1.AnnotationEndpoints] != "motion.example:4747,[2001:db8::1]:1" {
		t.Errorf("%s, %v", s.Spec.Type, s.Annotations)
	}
	for _, e := range []string{"motion.example", "a:1,b:2", ":", "a b:1"} {
		if _, err := Manifests(Options{Endpoints: []string{e}}); err == nil && e != ":" {
			t.Errorf("endpoint %q is taken", e)
		}
	}
}

func TestBlockDevicesAddAPrivilegedContainerThatSeesThePluginsFolderAndLeaveTheAgentAsItIs(t *testing.T) {
	without := find[appsv1.DaemonSet](t, manifests(t, Options{}), "DaemonSet", AgentName).Spec.Template.Spec
	pod := find[appsv1.DaemonSet](t, manifests(t, Options{BlockDevices: true, AgentImage: "registry.test/agent:1", KubeletRoot: "/opt/kubelet"}), "DaemonSet", AgentName).Spec.Template.Spec
	if len(pod.Containers) != 2 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	byName := map[string]corev1.Container{}
	for _, c := range pod.Containers {
		byName[c.Name] = c
		if c.Image != "registry.test/agent:1" {
			t.Errorf("container %s has the image %s", c.Name, c.Image)
		}
	}
	if !reflect.DeepEqual(byName[AgentName].SecurityContext, without.Containers[0].SecurityContext) {
		t.Error("the agent itself gets other powers")
	}
	if p := byName[DevicesContainer].SecurityContext.Privileged; p == nil || !*p {
		t.Error("the container that opens devices is not privileged")
	}
	paths := map[string]string{}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			paths[v.Name] = v.HostPath.Path
		}
	}
	for _, m := range byName[DevicesContainer].VolumeMounts {
		if path := paths[m.Name]; path != "" && (path != "/opt/kubelet/plugins" || !m.ReadOnly) {
			t.Errorf("the container sees %s of the node, read-only %v", path, m.ReadOnly)
		}
	}
	for _, m := range byName[AgentName].VolumeMounts {
		if paths[m.Name] == "/opt/kubelet/plugins" {
			t.Error("the agent sees the plugins folder")
		}
	}
	if len(paths) != 3 {
		t.Errorf("the pod sees %v", paths)
	}
}

func TestTheRelayIsForWhomTheAdministratorNames(t *testing.T) {
	for _, c := range []struct{ asked, want []string }{
		{nil, []string{DefaultRelayGroup}},
		{[]string{"team", "system:serviceaccounts:shop"}, []string{"team", "system:serviceaccounts:shop"}},
	} {
		var got []string
		for _, s := range find[rbacv1.RoleBinding](t, manifests(t, Options{Relay: true, RelayGroups: c.asked}), "RoleBinding", RelayRole).Subjects {
			if s.Kind != rbacv1.GroupKind || s.APIGroup != rbacv1.GroupName {
				t.Errorf("subject %+v", s)
			}
			got = append(got, s.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q may reach the relay, want %q", got, c.want)
		}
	}
}

func TestAgentsPodsSayWhichVersionInstalledThem(t *testing.T) {
	agent := find[appsv1.DaemonSet](t, manifests(t, Options{}), "DaemonSet", AgentName)
	if agent.Spec.Template.Labels[VersionLabel] == "" || agent.Spec.Selector.MatchLabels[VersionLabel] != "" {
		t.Errorf("labels %v, selector %v", agent.Spec.Template.Labels, agent.Spec.Selector.MatchLabels)
	}
}
