// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: web-uid}
spec: {replicas: 2, template: {spec: {containers: [{name: a, image: x}]}}}`

const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, uid: data-uid}
spec: {volumeName: pv, storageClassName: gone, resources: {requests: {storage: 1Gi}}}`

func TestAnActiveTargetIsNeverWrittenUnder(t *testing.T) {
	s := tell(t, deployment)
	s.observed = refused("deployment.apps/web", TargetState{Live: &Live{Source: "cluster-a/shop/web-uid", Active: true}, Changed: true})
	s.tells(s.plan().Blockers, CodeTargetActive, "kubectl motion deactivate")
	// Also when somebody scaled the active copy down.
	s.observed = refused("deployment.apps/web", TargetState{Live: &Live{Source: "cluster-a/shop/web-uid", Active: true, Suspended: true}})
	s.tells(s.plan().Blockers, CodeTargetActive, "kubectl motion deactivate")
}

func TestSomebodyElsesWorkloadOrClaimIsTaken(t *testing.T) {
	s := tell(t, deployment)
	s.observed = refused("deployment.apps/web", TargetState{Live: &Live{}, Changed: true})
	s.tells(s.plan().Blockers, CodeNameInUse, "deployment.apps/web", "--to-namespace")

	c := tell(t, claim)
	c.observed = refused("persistentvolumeclaim/data", TargetState{Live: &Live{Suspended: true}})
	c.tells(c.plan().Blockers, CodeNameInUse, "persistentvolumeclaim/data", "overwritten")
	c.observed = refused("persistentvolumeclaim/data", TargetState{Live: &Live{Suspended: true, Source: "cluster-c/shop/x"}})
	c.tells(c.plan().Blockers, CodeNameInUse, "persistentvolumeclaim/data")
}

func TestTheWayBackFindsItsOwnObjects(t *testing.T) {
	s := tell(t, strings.Replace(claim, "uid: data-uid", "uid: data-uid, annotations: {kubectl-motion.dev/source: cluster-b/shop/born-here}", 1))
	class := "slow"
	live := &Live{UID: "born-here", Suspended: true, Class: &class, Request: resource.MustParse("2Gi")}
	s.observed = refused("persistentvolumeclaim/data", TargetState{Live: live})
	p := s.plan()
	if p.Blocked() {
		t.Fatalf("blocked: %v", p.Blockers)
	}
	v := p.Volumes[0]
	if !v.OnTarget || v.TargetClass != "slow" || v.TargetRequest.Cmp(live.Request) != 0 {
		t.Errorf("the claim asks for something else than what is there: %+v", v)
	}
}

func TestAClaimThatIsThereKeepsItsClassAndSize(t *testing.T) {
	s := tell(t, claim)
	d, err := NewDraft(s.inventory(), s.facts, s.request)
	if err != nil {
		t.Fatal(err)
	}
	class := "slow"
	body, err := d.items[0].fit(&Live{Class: &class, Request: resource.MustParse("5Gi")})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(body); !strings.Contains(text, `"storageClassName":"slow"`) || !strings.Contains(text, `"storage":"5Gi"`) {
		t.Errorf("fitted to %s", text)
	}
}

func TestAnObjectThatSomebodyHasPutThereAlreadyIsLeftAlone(t *testing.T) {
	s := tell(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}")
	s.observed = refused("configmap/a", TargetState{Live: &Live{Suspended: true}})
	p := s.plan()
	if i := s.item(p, "configmap/a"); i.Action != Unchanged || i.Stage != "" || len(p.Objects(StageStandby)) != 0 {
		t.Errorf("%+v", i)
	}
	s.observed = refused("configmap/a", TargetState{Live: &Live{Suspended: true}, Changed: true})
	p = s.plan()
	s.tells(p.Warnings, CodeAdopted, "configmap/a")
	s.observed = refused("configmap/a", TargetState{Live: &Live{Suspended: true}, Changed: true, Problem: &apply.Problem{
		Cause: apply.CauseConflict, Conflicts: []apply.Conflict{{Field: "data.a", Manager: "helm"}},
	}})
	s.tells(s.plan().Blockers, CodeConflict, "data.a is owned by helm", "--force-conflicts")
}

func TestAMissingClassBlocksAndNamesTheFlag(t *testing.T) {
	s := tell(t, claim)
	s.facts.Classes.List = nil
	s.tells(s.plan().Blockers, CodeStorageClassMissing, `"gone"`, "--storage-class gone=CLASS")
	s.facts.Classes.List = []Class{{Name: "a"}, {Name: "b"}}
	s.request.StorageClasses = map[string]string{"gone": "b"}
	if p := s.plan(); p.Blocked() || p.Volumes[0].TargetClass != "b" {
		t.Errorf("%v %+v", p.Blockers, p.Volumes)
	}
	s.request.StorageClasses = map[string]string{"gone": "c"}
	s.tells(s.plan().Blockers, CodeStorageClassMissing)
}

func TestAClassOfTheSameDriverIsBetterThanTheDefault(t *testing.T) {
	f := Facts{
		SourceClasses: Known[Class]{Known: true, List: []Class{{Name: "gold", Provisioner: "csi", Waits: true}}},
		Classes: Known[Class]{Known: true, List: []Class{
			{Name: "standard", Provisioner: "other", Default: true},
			{Name: "csi-now", Provisioner: "csi"},
			{Name: "csi-waits", Provisioner: "csi", Waits: true},
		}},
	}
	if got, guessed, ok := f.resolveClass("gold", nil); got != "csi-waits" || !guessed || !ok {
		t.Errorf("gold becomes %q, guessed %v, ok %v", got, guessed, ok)
	}
	if got, _, ok := f.resolveClass("unheard-of", nil); got != "standard" || !ok {
		t.Errorf("an unknown class becomes %q, ok %v", got, ok)
	}
}

func TestAMissingNamespaceBlocks(t *testing.T) {
	s := tell(t, deployment)
	s.facts.NamespaceMissing = true
	p := s.plan()
	s.tells(p.Blockers, CodeNamespaceMissing, "shop")
	if len(p.Blockers) != 1 {
		t.Errorf("more than the namespace blocks: %v", p.Blockers)
	}
}

func TestAClaimWhoseUserStaysBlocksACutover(t *testing.T) {
	s := tell(t, claim+`
---
apiVersion: v1
kind: Pod
metadata: {name: reader, annotations: {kubectl-motion.dev/skip: "true"}}
spec: {containers: [{name: a, image: x}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}`)
	s.request.Mode = v1alpha1.ModeCutover
	s.tells(s.plan().Blockers, CodeUserNotMoved, "pod/reader", "PVC data")
}

func TestABarePodThatUsesAClaimWaitsForActivation(t *testing.T) {
	s := tell(t, claim+`
---
apiVersion: v1
kind: Pod
metadata: {name: db}
spec: {containers: [{name: a, image: x}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}`)
	p := s.plan()
	if i := s.item(p, "pod/db"); i.Stage != StageActivation {
		t.Errorf("stage %q: a pod on standby would keep the mount pod from being alone with the claim", i.Stage)
	}
	if n := len(p.Objects(StageVolume)); n != 1 {
		t.Errorf("%d objects in the stage of volumes", n)
	}
}

func TestAStoppedSourceIsPlannedAsItWas(t *testing.T) {
	s := tell(t, strings.Replace(deployment, "replicas: 2", "replicas: 0", 1))
	s.request.Originals = map[types.UID][]byte{"web-uid": []byte(`{"replicas":2}`)}
	p := s.plan()
	s.has(s.written(p, "deployment.apps/web"), "spec.replicas", 0)
	u, err := s.item(p, "deployment.apps/web").Active()
	if err != nil {
		t.Fatal(err)
	}
	s.has(u, "spec.replicas", 2)
}

func TestAPatchThatSelectsNothingBlocks(t *testing.T) {
	s := tell(t, deployment)
	patches, err := transform.ParsePatches("p.yaml", []byte("- target: {kind: Deployment, name: wbe}\n  patch: [{op: remove, path: /spec/replicas}]"))
	if err != nil {
		t.Fatal(err)
	}
	s.request.Patches = patches
	s.tells(s.plan().Blockers, CodePatchUnused, "p.yaml")
}

func TestAPlanNeverShowsTheValueOfASecret(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: Secret
metadata:
  name: a
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"p":"hunter2"}}'}
data: {p: aHVudGVyMg==, dsn: cG9zdGdyZXM6Ly91Omh1bnRlcjJAZGIuc2hvcC5zdmMvYXBw}`)
	s.request.TargetNamespace, s.facts.Namespace = "other", "other"
	s.observed = refused("secret/a", TargetState{Changed: true, Problem: &apply.Problem{Cause: apply.CauseNotPermitted, Message: "no"}})
	p := s.plan()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "aHVudGVyMg", "cG9zdGdyZX"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the plan shows %q: %s", secret, raw)
		}
	}
}

func TestEveryObjectHasExactlyOneVerdict(t *testing.T) {
	s := tell(t, deployment+"\n---"+claim)
	p := s.plan()
	c := p.Counts()
	if total := int(c.Moved + c.Unchanged + c.Skipped + c.NeedsAdmin + c.Failed); total != len(p.Items) {
		t.Errorf("%d of %d items are counted", total, len(p.Items))
	}
	for _, i := range p.Items {
		if (i.Verdict == inventory.Move) == (i.Reason != "") {
			t.Errorf("%s: verdict %s with reason %q", i.Source, i.Verdict, i.Reason)
		}
	}
}

func TestOnlyWhatIsProvedGoneIsPrunedAndNoDataWithoutConsent(t *testing.T) {
	s := tell(t, deployment)
	orphans := []Orphan{
		{Ref: inventory.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Name: "gone", UID: "1"}, Gone: true},
		{Ref: inventory.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Name: "unclear", UID: "2"}, Unclear: "timeout"},
		{Ref: inventory.Ref{Version: "v1", Resource: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", Name: "data", UID: "3"}, Gone: true},
	}
	for _, volumes := range []bool{false, true} {
		s.request.Prune, s.request.PruneVolumes = true, volumes
		d, err := NewDraft(s.inventory(), s.facts, s.request)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Build(d.WithOrphans(orphans), Observation{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range p.Prune {
			names = append(names, r.Name)
		}
		want := []string{"gone"}
		if volumes {
			want = []string{"gone", "data"}
		} else {
			s.tells(p.Warnings, CodeNotPruned, "persistentvolumeclaim/data", "--prune-volumes")
		}
		if !slices.Equal(names, want) {
			t.Errorf("with volumes %v: pruned %v, want %v", volumes, names, want)
		}
		s.tells(p.Warnings, CodeNotPruned, "configmap/unclear", "timeout")
	}
}
