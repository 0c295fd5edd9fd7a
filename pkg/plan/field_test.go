// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

// The cases of docs/field-cases.md that are decided without a cluster.

func TestKEDAPause(t *testing.T) {
	for name, c := range map[string]struct {
		annotation, status string
		blocked            bool
	}{
		"none":                                  {"", "", true},
		"paused false":                          {`autoscaling.keda.sh/paused: "false"`, "", true},
		"paused true":                           {`autoscaling.keda.sh/paused: "true"`, "", false},
		"paused with another value":             {`autoscaling.keda.sh/paused: "yes"`, "", false},
		"paused replicas without a status":      {`autoscaling.keda.sh/paused-replicas: "0"`, "", true},
		"paused at 0 replicas":                  {`autoscaling.keda.sh/paused-replicas: "0"`, "pausedReplicaCount: 0", false},
		"paused at 2 replicas":                  {`autoscaling.keda.sh/paused-replicas: "2"`, "pausedReplicaCount: 2", true},
		"paused at 2 replicas, and paused true": {`autoscaling.keda.sh/paused-replicas: "2", autoscaling.keda.sh/paused: "true"`, "pausedReplicaCount: 2", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t, deployment+`
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web, annotations: {`+c.annotation+`}}
spec: {scaleTargetRef: {name: web}}
status: {`+c.status+`}`)
			s.request.Mode = v1alpha1.ModeCutover
			if p := s.plan(); c.blocked {
				s.tells(p.Blockers, CodeAutoscaled, "deployment.apps/web")
			} else {
				s.silent(p.Blockers, CodeAutoscaled)
			}
		})
	}
}

func TestGitOpsByFieldManager(t *testing.T) {
	for manager, tool := range map[string]string{
		"argocd-controller": "Argo CD", "argocd-application-controller": "Argo CD", "kustomize-controller": "Flux", "helm-controller": "Flux",
		"fleetagent": "Rancher Fleet", "configsync": "Config Sync", "helm": "", "kubectl-client-side-apply": "",
	} {
		s := tell(t, strings.Replace(deployment, "name: web", `name: web, labels: {app.kubernetes.io/instance: shop}, managedFields: [{manager: `+manager+`, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}]`, 1))
		s.request.Mode = v1alpha1.ModeCutover
		if p := s.plan(); tool != "" {
			s.tells(p.Blockers, CodeGitOpsManaged, "deployment.apps/web", tool)
		} else {
			s.silent(p.Blockers, CodeGitOpsManaged)
		}
	}
}

func TestFinishedWorkOfCustomResources(t *testing.T) {
	s := tell(t, `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: bill}
status: {phase: Succeeded, finishedAt: "2026-01-01T00:00:00Z"}
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: failed}
status: {conditions: [{type: Succeeded, status: "False"}]}
---
apiVersion: velero.io/v1
kind: Backup
metadata: {name: nightly}
status: {phase: PartiallyFailed}
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: next}
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: running}
status: {conditions: [{type: Succeeded, status: Unknown}]}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: schedule}
---
apiVersion: operators.coreos.com/v1alpha1
kind: ClusterServiceVersion
metadata: {name: operator}
status: {phase: Succeeded}`)
	p := s.plan()
	for _, name := range []string{"workflow.argoproj.io/bill", "pipelinerun.tekton.dev/failed", "backup.velero.io/nightly"} {
		s.skipped(p, name, inventory.ReasonCompleted)
	}
	s.moves(p, "pipelinerun.tekton.dev/next", "pipelinerun.tekton.dev/running", "cronworkflow.argoproj.io/schedule")
	for name, stage := range map[string]Stage{
		"pipelinerun.tekton.dev/next": StageActivation, "pipelinerun.tekton.dev/running": StageActivation,
		"cronworkflow.argoproj.io/schedule": StageStandby, "clusterserviceversion.operators.coreos.com/operator": StageActivation,
	} {
		if i := s.item(p, name); i.Stage != stage {
			t.Errorf("%s: stage %s, want %s", name, i.Stage, stage)
		}
	}
	s.tells(p.Warnings, CodeFinalStatus, "clusterserviceversion.operators.coreos.com/operator")
}

func TestSnapshotsStayOnTheSource(t *testing.T) {
	s := tell(t, `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: yesterday}
---
apiVersion: groupsnapshot.storage.k8s.io/v1beta1
kind: VolumeGroupSnapshot
metadata: {name: all}`)
	s.notServed = []string{"VolumeSnapshot", "VolumeGroupSnapshot"}
	p := s.plan()
	s.skipped(p, "volumesnapshot.snapshot.storage.k8s.io/yesterday", inventory.ReasonSnapshot)
	s.skipped(p, "volumegroupsnapshot.groupsnapshot.storage.k8s.io/all", inventory.ReasonSnapshot)
	if len(p.Blockers) != 0 {
		t.Errorf("a missing kind of snapshots must not block: %v", p.Blockers)
	}
}

func TestIdentityInStatus(t *testing.T) {
	const kafka = `
apiVersion: kafka.strimzi.io/v1
kind: Kafka
metadata: {name: events}
status: {clusterId: p4YV, kafkaVersion: 4.1.0}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-0, labels: {strimzi.io/cluster: CLUSTER}}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`
	s := tell(t, strings.Replace(kafka, "CLUSTER", "events", 1))
	s.tells(s.plan().Warnings, CodeStatusNotMoved, "kafka.kafka.strimzi.io/events", "clusterId", "--subresource=status", `{"status":{"clusterId":"p4YV"}}`)
	other := tell(t, strings.Replace(kafka, "CLUSTER", "other", 1))
	other.silent(other.plan().Warnings, CodeStatusNotMoved)
}

func TestBarePodOfTheSource(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Pod
metadata:
  name: untrusted
  annotations: {k8s.ovn.org/pod-networks: "10.128.0.50", cni.projectcalico.org/podIP: 10.1.2.3/32, cni.projectcalico.org/ipAddrs: "[]", k8s.v1.cni.cncf.io/networks: lan}
spec:
  runtimeClassName: kata
  overhead: {cpu: 250m}
  nodeSelector: {kata: "yes", disk: ssd}
  tolerations: [{key: kata, operator: Exists}, {key: mine, operator: Exists}]
  containers: [{name: a, image: x}]`)
	s.facts.RuntimeClasses = Known[string]{Known: true, List: []string{"kata"}}
	s.facts.SourceRuntimeClasses = Known[RuntimeClass]{Known: true, List: []RuntimeClass{{Name: "kata", RuntimeClass: transform.RuntimeClass{
		NodeSelector: map[string]string{"kata": "yes"}, Tolerations: []map[string]any{{"key": "kata", "operator": "Exists"}},
	}}}}
	u := s.written(s.plan(), "pod/untrusted")
	s.gone(u, "spec.overhead", "spec.nodeSelector.kata")
	s.has(u, "spec.nodeSelector.disk", "ssd")
	s.has(u, "spec.tolerations", "[map[key:mine operator:Exists]]")
	for _, k := range []string{"k8s.ovn.org/pod-networks", "cni.projectcalico.org/podIP"} {
		if _, found := u.GetAnnotations()[k]; found {
			t.Errorf("the annotation %s of the source's network is kept", k)
		}
	}
	for _, k := range []string{"cni.projectcalico.org/ipAddrs", "k8s.v1.cni.cncf.io/networks"} {
		if _, found := u.GetAnnotations()[k]; !found {
			t.Errorf("the annotation %s of the user is removed", k)
		}
	}
	if !slices.ContainsFunc(s.item(s.plan(), "pod/untrusted").Changes, func(c changeOf) bool { return c.Path == "spec.overhead" }) {
		t.Error("no change is recorded for spec.overhead")
	}
}

func TestMissingServiceAccounts(t *testing.T) {
	s := tell(t, strings.Replace(deployment, "spec: {containers", "spec: {serviceAccountName: robot, containers", 1)+`
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, labels: {team: a}}`)
	s.facts.Accounts = Known[Account]{Known: true, List: []Account{{Name: "default"}}}
	s.facts.SourceAccounts = Known[Account]{Known: true, List: []Account{{Name: "robot", PullSecrets: []string{"registry"}}}}
	s.observed = refused("deployment.apps/web", TargetState{Changed: true, PodProblem: &apply.Problem{
		Cause: apply.CauseDenied, Message: `error looking up service account shop/robot: serviceaccount "robot" not found`,
	}})
	p := s.plan()
	s.silent(p.Warnings, CodeMissingReference)
	s.tells(p.Warnings, CodeServiceAccountMissing, "robot", "--export-admin")
	if len(p.Manifests) != 1 {
		t.Fatalf("manifests %v", p.Manifests)
	}
	u := &unstructured.Unstructured{Object: p.Manifests[0]}
	s.has(u, "kind", "ServiceAccount")
	s.has(u, "metadata.name", "robot")
	s.has(u, "metadata.namespace", "shop")
	s.has(u, "metadata.labels.team", "a")
	s.has(u, "imagePullSecrets", "[map[name:registry]]")
	s.facts.Accounts.List = append(s.facts.Accounts.List, Account{Name: "robot"})
	if p := s.plan(); len(p.Manifests) != 0 {
		t.Errorf("manifests although the ServiceAccount exists: %v", p.Manifests)
	}
}
