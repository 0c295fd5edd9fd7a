// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

// The traps that others who move applications have fallen into, one test each.
// Those about the bytes of volumes are tests of the data plane: consistency of
// several volumes under snapshots, and everything that reading a snapshot may
// lose.

func TestTrapServerManagedMetadataStaysBehind(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  uid: u1
  resourceVersion: "7"
  generation: 3
  creationTimestamp: "2020-01-01T00:00:00Z"
  selfLink: /x
  labels: {kept: "yes"}
  annotations: {kept: "yes"}
  finalizers: [example.com/cleanup]
data: {a: b}`)
	p := s.plan()
	u := s.written(p, "configmap/a")
	s.gone(u, "metadata.uid", "metadata.resourceVersion", "metadata.generation", "metadata.creationTimestamp", "metadata.selfLink", "metadata.finalizers")
	s.has(u, "metadata.labels.kept", "yes")
	s.has(u, "metadata.annotations.kept", "yes")
	if !slices.ContainsFunc(s.item(p, "configmap/a").Changes, func(c changeOf) bool { return c.From == "example.com/cleanup" && c.Notable }) {
		t.Error("nobody is told about the finalizer")
	}
}

func TestTrapAForeignOwnerUIDNeverReachesTheTarget(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ConfigMap
metadata:
  name: orphan
  ownerReferences: [{apiVersion: example.com/v1, kind: Thing, name: far, uid: elsewhere, controller: true}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: dep}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: child
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: dep, blockOwnerDeletion: true}]
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: near, uid: thing}
---
apiVersion: v1
kind: Secret
metadata:
  name: password
  ownerReferences: [{apiVersion: example.com/v1, kind: Thing, name: near, uid: thing, controller: true}]
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: operators
  ownerReferences: [{apiVersion: example.com/v1, kind: Thing, name: near, uid: thing}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, uid: sts}
spec: {template: {spec: {containers: [{name: a, image: x}]}}, volumeClaimTemplates: [{metadata: {name: data}}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data-db-0
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: sts}]
spec: {volumeName: pv, storageClassName: fast}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, uid: pod}
spec: {containers: [{name: a, image: x}]}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: of-pod
  ownerReferences: [{apiVersion: v1, kind: Pod, name: bare, uid: pod}]`)
	p := s.plan()
	for _, name := range []string{"configmap/orphan", "configmap/child", "secret/password", "persistentvolumeclaim/data-db-0", "configmap/of-pod"} {
		s.gone(s.written(p, name), "metadata.ownerReferences")
	}
	s.tells(p.Warnings, CodeOwnerNotMoved, "configmap/orphan", "Thing far")
	s.skipped(p, "configmap/operators", inventory.ReasonOwned)
	// Once both are there, the owners that moved are owners again; not those that
	// controllers tie themselves, and never a Pod.
	var links []string
	for _, l := range p.Links {
		links = append(links, l.Child.String()+" of "+l.Owner.String())
		if l.ChildSource != "cluster-a/shop/"+string(s.item(p, l.Child.String()).Source.UID) || l.OwnerSource != "cluster-a/shop/"+string(s.item(p, l.Owner.String()).Source.UID) {
			t.Errorf("%s is not proved to be ours: %+v", l.Child, l)
		}
		if l.Owner.UID != "" || l.Controller != (l.Child.Name == "password") || l.Block != (l.Child.Name == "child") {
			t.Errorf("link %+v", l)
		}
	}
	if want := []string{"configmap/child of deployment.apps/web", "secret/password of thing.example.com/near"}; !slices.Equal(links, want) {
		t.Errorf("links %v, want %v", links, want)
	}
}

func TestTrapChildrenOfControllersAreMadeAnewAndHandMadeOnesMove(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: d}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, uid: rs, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1-a, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: rs, controller: true}]}
spec: {containers: [{name: a, image: x}]}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: web-5}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: by-hand}
spec: {replicas: 2, template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: by-hand, annotations: {sidecar.istio.io/status: '{"containers":["istio-proxy"],"volumes":["istio-token"]}'}}
spec:
  nodeName: n1
  priority: 5
  containers:
  - {name: a, image: x, volumeMounts: [{name: kube-api-access-zz, mountPath: /t}]}
  - {name: istio-proxy, image: i}
  volumes: [{name: kube-api-access-zz, projected: {}}, {name: istio-token, projected: {}}]`)
	p := s.plan()
	s.skipped(p, "replicaset.apps/web-1", inventory.ReasonOwned)
	s.skipped(p, "pod/web-1-a", inventory.ReasonOwned)
	if d := s.item(p, "pod/web-1-a").Detail; d != "by deployment.apps/web" {
		t.Errorf("the pod is said to be owned %q", d)
	}
	s.skipped(p, "controllerrevision.apps/web-5", inventory.ReasonRevisionHistory)
	s.skipped(p, "endpointslice.discovery.k8s.io/web-x", inventory.ReasonGenerated)
	s.moves(p, "deployment.apps/web", "replicaset.apps/by-hand")
	pod := s.written(p, "pod/by-hand")
	s.gone(pod, "spec.nodeName", "spec.priority", "spec.volumes")
	containers := pod.Object["spec"].(map[string]any)["containers"].([]any)
	if len(containers) != 1 {
		t.Errorf("the injected sidecar is still there: %v", containers)
	}
	if c := containers[0].(map[string]any); c["volumeMounts"] != nil {
		t.Errorf("the token's mount is still there: %v", c)
	}
}

func TestTrapNoFinalizerIsSentSoNoneIsEverForced(t *testing.T) {
	s := tell(t, `
apiVersion: example.com/v1
kind: Widget
metadata: {name: a, finalizers: [example.com/x], deletionTimestamp: "2020-01-01T00:00:00Z"}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: b, finalizers: [example.com/x]}`)
	p := s.plan()
	s.skipped(p, "widget.example.com/a", inventory.ReasonTerminating)
	s.gone(s.written(p, "widget.example.com/b"), "metadata.finalizers", "metadata.deletionTimestamp")
}

func TestTrapGenerateNameGoesAndTheNameStays(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: run-x7k, generateName: run-}`)
	u := s.written(s.plan(), "configmap/run-x7k")
	s.gone(u, "metadata.generateName")
	s.has(u, "metadata.name", "run-x7k")
}

func TestTrapTheNoteOfKubectlApplyStaysBehind(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Secret
metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"data":{"k":"c2VjcmV0"}}'}}
data: {k: c2VjcmV0}`)
	p := s.plan()
	s.gone(s.written(p, "secret/a"), "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration")
	for _, c := range s.item(p, "secret/a").Changes {
		if c.From != "" && c.Path != "metadata.namespace" {
			t.Errorf("a change of a Secret shows a value: %+v", c)
		}
	}
}

func TestTrapClusterAddressesStayBehindAndHeadlessStaysHeadless(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.0.0.9, clusterIPs: [10.0.0.9, "fd00::9"], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: asked, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"ipFamilyPolicy":"RequireDualStack","ipFamilies":["IPv4","IPv6"]}}'}}
spec: {ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, clusterIPs: [None], ports: [{port: 80}]}`)
	s.facts.IPFamilies = []string{"IPv4"}
	p := s.plan()
	s.gone(s.written(p, "service/web"), "spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy")
	asked := s.written(p, "service/asked")
	s.gone(asked, "spec.ipFamilies")
	s.has(asked, "spec.ipFamilyPolicy", "PreferDualStack")
	s.has(s.written(p, "service/db"), "spec.clusterIP", "None")
}

func TestTrapAllocatedPortsAndBalancersStayBehindAndChosenPortsCome(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Service
metadata: {name: any}
spec: {type: NodePort, ports: [{port: 80, protocol: TCP, nodePort: 31111}]}
---
apiVersion: v1
kind: Service
metadata: {name: chosen, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"ports":[{"port":80,"nodePort":31112}]}}'}}
spec: {type: NodePort, ports: [{port: 80, protocol: TCP, nodePort: 31112}, {port: 81, protocol: TCP, nodePort: 31113}]}
---
apiVersion: v1
kind: Service
metadata: {name: lb, annotations: {service.beta.kubernetes.io/aws-load-balancer-type: nlb}}
spec: {type: LoadBalancer, loadBalancerIP: 1.2.3.4, externalIPs: [1.2.3.5], healthCheckNodePort: 31114, externalTrafficPolicy: Local, allocateLoadBalancerNodePorts: true, ports: [{port: 80, nodePort: 31115}]}
status: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}`)
	p := s.plan()
	if got := nodePorts(s.written(p, "service/any")); len(got) != 0 {
		t.Errorf("allocated node ports were sent: %v", got)
	}
	if got := nodePorts(s.written(p, "service/chosen")); !slices.Equal(got, []int64{31112}) {
		t.Errorf("node ports %v, want the chosen one", got)
	}
	lb := s.written(p, "service/lb")
	s.gone(lb, "status", "spec.type", "spec.loadBalancerIP", "spec.externalIPs", "spec.healthCheckNodePort", "spec.externalTrafficPolicy", "spec.allocateLoadBalancerNodePorts")
	if len(nodePorts(lb)) != 0 || lb.GetAnnotations()["service.beta.kubernetes.io/aws-load-balancer-type"] != "" {
		t.Errorf("the balancer came along: %v", lb.Object)
	}
}

func TestTrapABalancerIsThereAgainWhenTheServiceComesHome(t *testing.T) {
	out := tell(t, `
apiVersion: v1
kind: Service
metadata: {name: lb, annotations: {service.beta.kubernetes.io/x: "1"}}
spec: {type: LoadBalancer, loadBalancerClass: c, ports: [{port: 80}]}`)
	away := out.written(out.plan(), "service/lb")
	raw, err := away.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	returning := tell(t, string(raw))
	returning.facts.ClusterID = "cluster-a"
	back := returning.written(returning.plan(), "service/lb")
	returning.has(back, "spec.type", "LoadBalancer")
	returning.has(back, "spec.loadBalancerClass", "c")
	if back.GetAnnotations()["service.beta.kubernetes.io/x"] != "1" {
		t.Errorf("the balancer's annotations are lost: %v", back.GetAnnotations())
	}
	elsewhere := tell(t, string(raw))
	elsewhere.facts.ClusterID = "cluster-c"
	elsewhere.gone(elsewhere.written(elsewhere.plan(), "service/lb"), "spec.type")
}

func TestTrapOnlyHandMadeEndpointsMove(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 192.0.2.1}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.1.1.1, targetRef: {kind: Pod, name: a}}]}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: left-over}
subsets: [{addresses: [{ip: 10.1.1.1, targetRef: {kind: Pod, name: a}}]}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: of-a-service-that-is-left-out, labels: {endpoints.kubernetes.io/managed-by: endpoint-controller}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outside-1, labels: {kubernetes.io/service-name: outside}}
endpoints: [{addresses: [192.0.2.1], nodeName: n1}]`)
	p := s.plan()
	s.moves(p, "endpoints/outside", "endpointslice.discovery.k8s.io/outside-1")
	s.skipped(p, "endpoints/web", inventory.ReasonGenerated)
	s.skipped(p, "endpoints/left-over", inventory.ReasonGenerated)
	s.skipped(p, "endpoints/of-a-service-that-is-left-out", inventory.ReasonGenerated)
}

func TestTrapAClaimLosesItsBindingAndKeepsWhatWasAsked(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  labels: {app: db}
  annotations:
    pv.kubernetes.io/bind-completed: "yes"
    pv.kubernetes.io/bound-by-controller: "yes"
    volume.kubernetes.io/storage-provisioner: x
    volume.beta.kubernetes.io/storage-provisioner: x
    volume.kubernetes.io/selected-node: n1
    pv.kubernetes.io/migrated-to: x
    mine: "1"
spec:
  accessModes: [ReadWriteOnce]
  volumeMode: Block
  volumeName: pv-1
  storageClassName: gone
  selector: {matchLabels: {a: b}}
  dataSource: {kind: VolumeSnapshot, name: s}
  dataSourceRef: {kind: VolumeSnapshot, name: s}
  resources: {requests: {storage: 1Gi}}
status: {phase: Bound, capacity: {storage: 1Gi}}`)
	p := s.plan()
	u := s.written(p, "persistentvolumeclaim/data")
	s.gone(u, "spec.volumeName", "spec.dataSource", "spec.dataSourceRef", "spec.selector", "status")
	for k := range u.GetAnnotations() {
		if k != "mine" && k != v1alpha1.AnnotationSource {
			t.Errorf("annotation %s came along", k)
		}
	}
	s.has(u, "metadata.labels.app", "db")
	s.has(u, "spec.volumeMode", "Block")
	s.has(u, "spec.storageClassName", "fast")
	s.tells(p.Warnings, CodeStorageClassSelected, `no storage class "gone"`, `"fast"`)
	if len(p.Volumes) != 1 || p.Volumes[0].VolumeMode != corev1.PersistentVolumeBlock || p.Volumes[0].TargetClass != "fast" {
		t.Errorf("volumes %+v", p.Volumes)
	}
}

func TestTrapAVolumeLargerThanItsClaimGetsRoom(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {volumeName: pv, storageClassName: fast, resources: {requests: {storage: 1Gi}}}
status: {capacity: {storage: 3Gi}}`)
	p := s.plan()
	s.has(s.written(p, "persistentvolumeclaim/data"), "spec.resources.requests.storage", "3Gi")
	if v := p.Volumes[0]; v.TargetRequest.Cmp(resource.MustParse("3Gi")) != 0 || v.Requested.Cmp(resource.MustParse("1Gi")) != 0 {
		t.Errorf("volume %+v", v)
	}
}

func TestTrapModesThatTheTargetsStorageLacksAreSaid(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {volumeName: pv, storageClassName: fast, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}`)
	s.facts.Classes.List[0].Provisioner = "rancher.io/local-path"
	s.tells(s.plan().Warnings, CodeAccessMode, "ReadWriteMany", "one node only")
}

func TestTrapTheMountPodOfAVolumeIsPlacedLikeTheApplication(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, uid: sts}
spec:
  replicas: 1
  template: {metadata: {labels: {app: db}}, spec: {nodeSelector: {disk: ssd}, tolerations: [{key: db}], containers: [{name: a, image: x}]}}
  volumeClaimTemplates: [{metadata: {name: data}}, {metadata: {name: wal}}]
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, ownerReferences: [{kind: StatefulSet, name: db, uid: sts, controller: true}]}
spec: {nodeName: n1, containers: [{name: a, image: x}], volumes: [{name: data, persistentVolumeClaim: {claimName: data-db-0}}, {name: wal, persistentVolumeClaim: {claimName: wal-db-0}}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-0}
spec: {volumeName: pv0, storageClassName: fast}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: wal-db-0}
spec: {volumeName: pv1, storageClassName: fast}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-1}
spec: {volumeName: pv2, storageClassName: fast}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: wal-db-1}
spec: {volumeName: pv3, storageClassName: fast}`)
	s.facts.Nodes = Known[Node]{Known: true, List: []Node{{Labels: map[string]string{"disk": "hdd"}}}}
	p := s.plan()
	if len(p.Groups) != 2 {
		t.Fatalf("groups %+v, want one for each ordinal", p.Groups)
	}
	for i, want := range []Group{{Pod: "db-0", Node: "n1", Claims: []string{"data-db-0", "wal-db-0"}}, {Claims: []string{"data-db-1", "wal-db-1"}}} {
		g := p.Groups[i]
		if g.Pod != want.Pod || g.Node != want.Node || !slices.Equal(g.Claims, want.Claims) {
			t.Errorf("group %d is %+v, want %+v", i, g, want)
		}
		if g.Template == nil || g.Template.NodeSelector["disk"] != "ssd" || len(g.Template.Tolerations) != 1 || g.Labels["app"] != "db" {
			t.Errorf("group %d has not the application's placement: %+v", i, g.Template)
		}
	}
	s.tells(p.Warnings, CodeNodeUnavailable, "disk=ssd")
}

func TestTrapClaimsBeyondTheReplicasMoveAndOrdinalsStay(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {replicas: 1, ordinals: {start: 5}, template: {spec: {containers: [{name: a, image: x}]}}, volumeClaimTemplates: [{metadata: {name: data}}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-9, ownerReferences: [{apiVersion: v1, kind: Pod, name: db-9, uid: gone}]}
spec: {volumeName: pv, storageClassName: fast}`)
	p := s.plan()
	s.has(s.written(p, "statefulset.apps/db"), "spec.ordinals.start", 5)
	s.has(s.written(p, "statefulset.apps/db"), "spec.replicas", 0)
	if len(p.Volumes) != 1 || len(p.Volumes[0].Workloads) != 1 || p.Volumes[0].Workloads[0].Name != "db" {
		t.Errorf("volumes %+v", p.Volumes)
	}
}

func TestTrapWhenScaledDeleteIsRetainedWhileAtRestAndComesBack(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {replicas: 1, persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}, template: {spec: {containers: [{name: a, image: x}]}}}`)
	s.request.Mode = v1alpha1.ModeCutover
	p := s.plan()
	s.silent(p.Blockers, CodeWhenScaledDelete)
	s.tells(p.Warnings, CodeWhenScaledDelete, "statefulset.apps/db", "whenScaled", "Retain")
	s.has(s.written(p, "statefulset.apps/db"), "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain")
	u, err := s.item(p, "statefulset.apps/db").Active()
	if err != nil {
		t.Fatal(err)
	}
	s.has(u, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Delete")
	s.has(u, "spec.replicas", 1)
}

func TestTrapJobsLoseTheirUIDAndFinishedOnesStay(t *testing.T) {
	s := tell(t, `
apiVersion: batch/v1
kind: Job
metadata: {name: run, labels: {controller-uid: u, batch.kubernetes.io/controller-uid: u, mine: "1"}}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u}}
  template: {metadata: {labels: {controller-uid: u, batch.kubernetes.io/controller-uid: u, job-name: run}}, spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: manual}
spec: {manualSelector: true, selector: {matchLabels: {j: m}}, template: {metadata: {labels: {j: m}}, spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: done}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
status: {conditions: [{type: Complete, status: "True"}]}`)
	p := s.plan()
	u := s.written(p, "job.batch/run")
	s.gone(u, "spec.selector", "metadata.labels.controller-uid", "spec.template.metadata.labels.controller-uid")
	s.has(u, "metadata.labels.mine", "1")
	s.has(u, "spec.suspend", true)
	s.has(s.written(p, "job.batch/manual"), "spec.selector.matchLabels.j", "m")
	s.skipped(p, "job.batch/done", inventory.ReasonCompleted)
}

func TestTrapASuspendedCronJobStaysSuspendedAfterActivation(t *testing.T) {
	s := tell(t, `
apiVersion: batch/v1
kind: CronJob
metadata: {name: asleep}
spec: {suspend: true, schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: awake}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}}}`)
	p := s.plan()
	for name, want := range map[string]bool{"cronjob.batch/asleep": true, "cronjob.batch/awake": false} {
		s.has(s.written(p, name), "spec.suspend", true)
		u, err := s.item(p, name).Active()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := u.Object["spec"].(map[string]any)["suspend"].(bool); got != want {
			t.Errorf("%s: suspend is %v once activated, want %v", name, got, want)
		}
	}
}

func TestTrapAnAutoscalerWouldUndoTheStop(t *testing.T) {
	source := `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 4, template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {minReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: zero}
spec: {replicas: 4, template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: zero}
spec: {minReplicas: 0, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: zero}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: queue}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: queue}
spec: {scaleTargetRef: {name: queue}}`
	s := tell(t, source)
	s.request.Mode = v1alpha1.ModeCutover
	p := s.plan()
	s.tells(p.Blockers, CodeAutoscaled, "deployment.apps/zero", "horizontalpodautoscaler.autoscaling/zero")
	for _, f := range p.Blockers {
		if f.Object != nil && f.Object.Name == "web" {
			t.Errorf("an autoscaler that is off at zero replicas blocks: %s", f)
		}
	}
	s.tells(p.Blockers, CodeAutoscaled, "deployment.apps/queue", "scaledobject.keda.sh/queue")
	rest := tell(t, source)
	p = rest.plan()
	rest.silent(p.Blockers, CodeAutoscaled)
	if u, err := rest.item(p, "deployment.apps/web").Active(); err != nil || u.Object["spec"].(map[string]any)["replicas"] != int64(4) {
		t.Errorf("replicas are not restored explicitly: %v %v", u, err)
	}
}

func TestTrapGitOpsAndOperatorsWouldUndoTheStop(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: argo, annotations: {argocd.argoproj.io/tracking-id: "x"}}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, labels: {kustomize.toolkit.fluxcd.io/name: "x"}}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: db.example.com/v1
kind: Cluster
metadata: {name: pg, uid: pg}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: pg, ownerReferences: [{apiVersion: db.example.com/v1, kind: Cluster, name: pg, uid: pg, controller: true}]}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: olm, ownerReferences: [{apiVersion: x/v1, kind: ClusterThing, name: far, uid: far, controller: true}]}
spec: {template: {spec: {containers: [{name: a, image: x}]}}}
---
apiVersion: v1
kind: Secret
metadata: {name: pg-password, ownerReferences: [{apiVersion: db.example.com/v1, kind: Cluster, name: pg, uid: pg, controller: true}]}`)
	s.request.Mode = v1alpha1.ModeCutover
	p := s.plan()
	s.tells(p.Blockers, CodeGitOpsManaged, "deployment.apps/argo", "Argo CD")
	s.tells(p.Blockers, CodeGitOpsManaged, "deployment.apps/flux", "Flux")
	s.tells(p.Blockers, CodeOperatorOwned, "cluster.db.example.com/pg")
	s.tells(p.Blockers, CodeOperatorOwned, "deployment.apps/olm", "ClusterThing far")
	s.skipped(p, "statefulset.apps/pg", inventory.ReasonOwned)
	if i := s.item(p, "cluster.db.example.com/pg"); i.Stage != StageActivation {
		t.Errorf("a custom resource that runs pods is written at stage %q, want at activation", i.Stage)
	}
	s.moves(p, "secret/pg-password")
}

func TestTrapADaemonSetRestsOnASelectorThatFitsNowhere(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec: {template: {spec: {nodeSelector: {a: b}, containers: [{name: a, image: x}], volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c}
spec: {volumeName: pv, storageClassName: fast}`)
	p := s.plan()
	s.gone(s.written(p, "daemonset.apps/ds"), "spec.template.spec.nodeSelector.a")
	if got := p.Groups[0].Template.NodeSelector; got["a"] != "b" || len(got) != 1 {
		t.Errorf("the mount pod would look for a node with %v", got)
	}
}

func TestTrapADisruptionBudgetMovesAsItIs(t *testing.T) {
	s := tell(t, `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
status: {disruptionsAllowed: 1}`)
	u := s.written(s.plan(), "poddisruptionbudget.policy/web")
	s.has(u, "spec.minAvailable", 1)
	s.gone(u, "status")
}

func TestTrapTheTargetsOwnLimitsStayAndSumsAreCompared(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota}
spec: {hard: {pods: "100"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 3, template: {spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 500m}}}]}}}`)
	s.observed = refused("resourcequota/quota", TargetState{Live: &Live{UID: "theirs", Suspended: true}, Changed: true})
	s.facts.Quotas = Known[corev1.ResourceQuota]{Known: true, List: []corev1.ResourceQuota{{Status: corev1.ResourceQuotaStatus{
		Hard: corev1.ResourceList{"requests.cpu": resource.MustParse("1")},
		Used: corev1.ResourceList{"requests.cpu": resource.MustParse("0")},
	}}}}
	p := s.plan()
	s.skipped(p, "resourcequota/quota", inventory.ReasonTargetManaged)
	s.tells(p.Warnings, CodeQuota, "1500m of requests.cpu", "has 1 left")
	s.request.Mode = v1alpha1.ModeCutover
	s.tells(s.plan().Blockers, CodeQuota, "1500m of requests.cpu")
}

func TestTrapFieldsThatTheOtherVersionDropsAreNamed(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {shiny: 1, template: {spec: {containers: [{name: a, image: x}]}}}`)
	s.observed = refused("deployment.apps/web", TargetState{Changed: true, Problem: &apply.Problem{Cause: apply.CauseFields, Message: "unknown field spec.shiny", Fields: []string{"spec.shiny"}}})
	p := s.plan()
	s.tells(p.Blockers, CodeUnknownFields, "spec.shiny", "--patch")
}

func TestTrapAKindWithoutItsDefinitionBlocksAndTheDefinitionIsHandedOver(t *testing.T) {
	s := tell(t, `
apiVersion: db.example.com/v1
kind: Cluster
metadata: {name: pg}
status: {ready: true}
---
apiVersion: acme.cert-manager.io/v1
kind: Order
metadata: {name: o}`)
	s.notServed = []string{"Cluster"}
	s.facts.Definitions = definitionsOf("clusters.db.example.com")
	p := s.plan()
	s.tells(p.Blockers, CodeKindMissing, "clusters of db.example.com", "--exclude clusters.db.example.com")
	if i := s.item(p, "cluster.db.example.com/pg"); i.Verdict != inventory.NeedsAdmin || i.Reason != inventory.ReasonKindMissing {
		t.Errorf("%+v", i)
	}
	if len(p.Manifests) != 2 || p.Manifests[0]["kind"] != "CustomResourceDefinition" || p.Manifests[1]["status"] != nil {
		t.Errorf("manifests %v", p.Manifests)
	}
	s.skipped(p, "order.acme.cert-manager.io/o", inventory.ReasonOneTimeRequest)
}

func TestTrapCredentialsOfTheSourceClusterStayBehind(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Secret
metadata: {name: token}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Secret
metadata: {name: join}
type: bootstrap.kubernetes.io/token
---
apiVersion: v1
kind: Secret
metadata: {name: default-dockercfg-x}
type: kubernetes.io/dockercfg
---
apiVersion: v1
kind: Secret
metadata: {name: mine}
type: kubernetes.io/dockercfg
---
apiVersion: v1
kind: Secret
metadata: {name: frozen}
immutable: true`)
	p := s.plan()
	for _, n := range []string{"secret/token", "secret/join", "secret/default-dockercfg-x"} {
		s.skipped(p, n, inventory.ReasonClusterCredential)
	}
	s.moves(p, "secret/mine", "secret/frozen")
	s.observed = refused("secret/frozen", TargetState{Live: &Live{Source: "cluster-a/shop/x"}, Changed: true, Problem: &apply.Problem{Cause: apply.CauseImmutable, Message: "field is immutable"}})
	s.tells(s.plan().Blockers, CodeImmutable, "secret/frozen")
}

func TestTrapServiceAccountsThatTheTargetLacksAreNamedWithTheCommand(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: builder}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {serviceAccountName: builder, containers: [{name: a, image: x}]}}}`)
	s.observed = refused("deployment.apps/web", TargetState{Changed: true, PodProblem: &apply.Problem{
		Cause: apply.CauseDenied, Message: `pods "web-" is forbidden: error looking up service account shop/builder: serviceaccount "builder" not found`,
	}})
	s.facts.SourceAccounts = Known[Account]{Known: true, List: []Account{{Name: "builder", PullSecrets: []string{"registry"}, Bound: []string{"eks.amazonaws.com/role-arn"}}}}
	s.facts.Accounts = Known[Account]{Known: true}
	p := s.plan()
	s.skipped(p, "serviceaccount/builder", inventory.ReasonServiceAccount)
	s.tells(p.Warnings, CodeServiceAccountMissing, "kubectl -n shop create serviceaccount builder")
	s.tells(p.Warnings, CodePullSecret, "builder", "registry")
	s.tells(p.Warnings, CodeServiceAccountBound, "eks.amazonaws.com/role-arn")
	s.request.Mode = v1alpha1.ModeStart
	s.tells(s.plan().Blockers, CodeServiceAccountMissing, "builder")
}

func TestTrapRightsThatTheUserHasNotAreForAnAdministrator(t *testing.T) {
	s := tell(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: big}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: people}
subjects: [{kind: User, name: eve}, {kind: Group, name: devs}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: app}
subjects: [{kind: ServiceAccount, name: builder, namespace: shop}]`)
	s.observed = refused("role.rbac.authorization.k8s.io/big", TargetState{Changed: true, Problem: &apply.Problem{Cause: apply.CauseNotPermitted, Message: "attempting to grant RBAC permissions"}})
	p := s.plan()
	if i := s.item(p, "role.rbac.authorization.k8s.io/big"); i.Verdict != inventory.NeedsAdmin || i.Reason != inventory.ReasonNotPermitted {
		t.Errorf("%+v", i)
	}
	if p.Blocked() {
		t.Errorf("what an administrator has to write blocks: %v", p.Blockers)
	}
	if len(p.Manifests) != 1 {
		t.Errorf("manifests %v", p.Manifests)
	}
	s.skipped(p, "rolebinding.rbac.authorization.k8s.io/people", inventory.ReasonUserAccess)
	s.moves(p, "rolebinding.rbac.authorization.k8s.io/app")
}

func TestTrapLocksAndTheClustersOwnObjectsStayBehind(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-root-ca.crt}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: openshift-service-ca.crt}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: lock, annotations: {control-plane.alpha.kubernetes.io/leader: "{}"}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: lock, annotations: {control-plane.alpha.kubernetes.io/leader: "{}"}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: gke-resource-quotas}
---
apiVersion: v1
kind: Secret
metadata: {name: motion-pair-west, labels: {app.kubernetes.io/managed-by: kubectl-motion}}
---
apiVersion: kubectl-motion.dev/v1alpha1
kind: Migration
metadata: {name: west}
---
apiVersion: v1
kind: Pod
metadata: {name: mount pod, labels: {kubectl-motion.dev/mount-pod: "true"}}
spec: {containers: [{name: a, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: static, annotations: {kubernetes.io/config.mirror: x}}
spec: {containers: [{name: a, image: x}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: mine, annotations: {kubectl-motion.dev/skip: ""}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: not-any-more, annotations: {kubectl-motion.dev/skip: "false"}}`)
	p := s.plan()
	s.skipped(p, "configmap/kube-root-ca.crt", inventory.ReasonGenerated)
	s.skipped(p, "configmap/openshift-service-ca.crt", inventory.ReasonGenerated)
	s.skipped(p, "configmap/lock", inventory.ReasonLeaderLock)
	s.skipped(p, "endpoints/lock", inventory.ReasonLeaderLock)
	s.skipped(p, "resourcequota/gke-resource-quotas", inventory.ReasonPlatform)
	s.skipped(p, "secret/motion-pair-west", inventory.ReasonMotionInternal)
	s.skipped(p, "migration.kubectl-motion.dev/west", inventory.ReasonMotionInternal)
	s.skipped(p, "pod/mount pod", inventory.ReasonMotionInternal)
	s.skipped(p, "pod/static", inventory.ReasonMirrorPod)
	s.skipped(p, "configmap/mine", inventory.ReasonUserSkip)
	s.moves(p, "configmap/not-any-more")
}

func TestTrapPodSecurityRefusesThePodAndNotTheWorkload(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: x}]}}}`)
	s.observed = refused("deployment.apps/web", TargetState{Changed: true, PodProblem: &apply.Problem{Cause: apply.CauseDenied, Message: `violates PodSecurity "restricted:latest"`}})
	s.tells(s.plan().Blockers, CodePodDenied, "deployment.apps/web", "violates PodSecurity")
}

func TestTrapForbiddenIsNotEmpty(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: a}`)
	inv := s.inventory()
	inv.NotExamined = []inventory.NotExamined{{Group: "example.com", Version: "v1", Resource: "widgets", Reason: "Forbidden", Message: "no"}}
	d, err := NewDraft(inv, s.facts, s.request)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Build(d, Observation{})
	if err != nil {
		t.Fatal(err)
	}
	s.tells(p.Warnings, CodeNotExamined, "widgets of example.com", "incomplete", "--exclude widgets.example.com")
	if len(p.NotExamined) != 1 || p.Counts().NotExamined != 1 {
		t.Errorf("not examined: %v", p.NotExamined)
	}
}

func TestTrapScratchStaysBehindAndIsSaid(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Pod
metadata: {name: p, uid: p}
spec:
  containers: [{name: a, image: x}]
  volumes:
  - {name: tmp, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: gone}}}}
  - {name: host, hostPath: {path: /var/data}}
  - {name: empty, emptyDir: {}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: p-tmp, ownerReferences: [{kind: Pod, name: p, uid: p, controller: true}]}
spec: {volumeName: pv}`)
	p := s.plan()
	s.skipped(p, "persistentvolumeclaim/p-tmp", inventory.ReasonEphemeral)
	s.tells(p.Warnings, CodeDataNotMoved, "pod/p", "/var/data")
	s.tells(p.Warnings, CodeDataNotMoved, "emptyDir")
	vol := s.written(p, "pod/p").Object["spec"].(map[string]any)["volumes"].([]any)[0].(map[string]any)
	class := vol["ephemeral"].(map[string]any)["volumeClaimTemplate"].(map[string]any)["spec"].(map[string]any)["storageClassName"]
	if class != "fast" {
		t.Errorf("the ephemeral volume asks for class %v", class)
	}
}

func TestTrapTheSameKindInTwoGroupsIsTwoObjects(t *testing.T) {
	s := tell(t, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
---
apiVersion: traffic.example.com/v1
kind: Ingress
metadata: {name: web}`)
	p := s.plan()
	s.moves(p, "ingress.networking.k8s.io/web", "ingress.traffic.example.com/web")
}

func TestTrapACopyBesideItsSourceActsTwice(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {external-dns.alpha.kubernetes.io/hostname: shop.example.com}}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{host: shop.example.com}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: mail}
spec: {schedule: "0 * * * *", jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: x}]}}}}}`)
	s.request.Mode = v1alpha1.ModeStart
	p := s.plan()
	s.tells(p.Warnings, CodeTwoCopies, "service/web", "DNS name shop.example.com")
	s.tells(p.Warnings, CodeTwoCopies, "ingress.networking.k8s.io/web", "serve shop.example.com")
	s.tells(p.Warnings, CodeTwoCopies, "cronjob.batch/mail", "0 * * * *")
}

func TestASelectionBringsWhatTheSelectedNeedAndSaysWhy(t *testing.T) {
	s := tell(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, labels: {app: db}}
spec:
  serviceName: db
  template: {spec: {imagePullSecrets: [{name: pull}], containers: [{name: a, image: x, envFrom: [{configMapRef: {name: conf}}]}]}}
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
---
apiVersion: v1
kind: Secret
metadata: {name: pull}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-0}
spec: {volumeName: pv, storageClassName: fast}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}`)
	sel, err := labels.Parse("app=db")
	if err != nil {
		t.Fatal(err)
	}
	s.request.Selection = inventory.Selection{Labels: sel, Exclude: []inventory.Pattern{{Type: "secret", Name: "pull"}}}
	p := s.plan()
	s.moves(p, "statefulset.apps/db", "service/db", "configmap/conf", "persistentvolumeclaim/data-db-0")
	if d := s.item(p, "configmap/conf").Detail; d != "needed by statefulset.apps/db" {
		t.Errorf("why it comes along: %q", d)
	}
	s.skipped(p, "configmap/other", inventory.ReasonNotSelected)
	s.skipped(p, "secret/pull", inventory.ReasonNotSelected)
}

// TestMountPodsNeedRoomInTheQuotasOfBothSides: a mount pod for each group of volumes, on
// the source of the clones where a group is copied, and for a cutover of both.
func TestMountPodsNeedRoomInTheQuotasOfBothSides(t *testing.T) {
	full := func(name string, pods, used string) Known[corev1.ResourceQuota] {
		return Known[corev1.ResourceQuota]{Known: true, List: []corev1.ResourceQuota{{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status: corev1.ResourceQuotaStatus{
				Hard: corev1.ResourceList{"pods": resource.MustParse(pods)}, Used: corev1.ResourceList{"pods": resource.MustParse(used)},
			},
		}}}
	}
	withClaim := func() *story {
		s := tell(t, claim)
		s.request.StorageClasses = map[string]string{"gone": "fast"}
		return s
	}
	s := withClaim()
	s.facts.Quotas, s.facts.SourceQuotas = full("there", "3", "3"), full("here", "3", "3")
	p := s.plan()
	s.tells(p.Blockers, CodeQuota, "the mount pods need 1 of pods", "target's quota there has 0 left")
	s.tells(p.Blockers, CodeQuota, "the mount pods need 1 of pods", "source's quota here has 0 left", "source namespace")

	s = withClaim()
	s.facts.Quotas, s.facts.SourceQuotas = full("there", "3", "2"), full("here", "3", "2")
	d, err := NewDraft(s.inventory(), s.facts, s.request)
	if err != nil {
		t.Fatal(err)
	}
	p, err = Build(d, Observation{})
	if err != nil {
		t.Fatal(err)
	}
	s.silent(p.Blockers, CodeQuota)
	d.WithCopyMethods(map[string]snapshot.Choice{"data": {Offer: &snapshot.Offer{Plugin: "csi"}}})
	if p, err = Build(d, Observation{}); err != nil {
		t.Fatal(err)
	}
	s.silent(p.Blockers, CodeQuota)
	s.request.Mode = v1alpha1.ModeCutover
	if d, err = NewDraft(s.inventory(), s.facts, s.request); err != nil {
		t.Fatal(err)
	}
	d.WithCopyMethods(map[string]snapshot.Choice{"data": {Offer: &snapshot.Offer{Plugin: "csi", ChangeDetection: v1alpha1.ChangeDetectionTimestamps}}})
	if p, err = Build(d, Observation{}); err != nil {
		t.Fatal(err)
	}
	s.tells(p.Blockers, CodeQuota, "need 2 of pods", "source's quota here has 1 left")

	s = tell(t, deployment)
	s.facts.SourceQuotas = full("here", "3", "3")
	s.silent(s.plan().Blockers, CodeQuota)
}
