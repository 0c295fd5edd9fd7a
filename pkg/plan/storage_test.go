// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
)

func TestAClaimThatNobodyMayWriteIsNotMoved(t *testing.T) {
	const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {volumeName: pv, storageClassName: fast, accessModes: MODES, resources: {requests: {storage: 1Gi}}}`
	s := tell(t, strings.Replace(claim, "MODES", "[ReadOnlyMany]", 1))
	s.tells(s.plan().Blockers, CodeReadOnlyClaim, "ReadOnlyMany")
	s = tell(t, strings.Replace(claim, "MODES", "[ReadOnlyMany, ReadWriteOnce]", 1))
	s.silent(s.plan().Blockers, CodeReadOnlyClaim)
}

func TestARawBlockVolumeNeedsAClassThatMakesSome(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {volumeName: pv, storageClassName: fast, volumeMode: Block, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`)
	s.silent(s.plan().Blockers, CodeBlockVolumesUnsupported)
	s.facts.Classes.List[0].Provisioner = "nfs.csi.k8s.io"
	s.tells(s.plan().Blockers, CodeBlockVolumesUnsupported, "raw block", "nfs.csi.k8s.io", "fast")
}

func TestARawBlockVolumeIsRefusedWhereAgentsMayNotOpenDevices(t *testing.T) {
	const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {volumeName: pv, storageClassName: fast, volumeMode: MODE, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`
	on, off := Known[Agents]{Known: true, List: []Agents{{Devices: true}}}, Known[Agents]{Known: true, List: []Agents{{}}}
	s := tell(t, strings.Replace(claim, "MODE", "Block", 1))
	s.facts.SourceAgents, s.facts.Agents = on, off
	s.tells(s.plan().Blockers, CodeBlockDevicesDisabled, "agents of the target")
	s.facts.SourceAgents, s.facts.Agents = off, on
	s.tells(s.plan().Blockers, CodeBlockDevicesDisabled, "agents of the source")
	for _, agents := range []Known[Agents]{on, {}} { // what may not be seen is not denied
		s.facts.SourceAgents, s.facts.Agents = agents, agents
		s.silent(s.plan().Blockers, CodeBlockDevicesDisabled)
	}
	s = tell(t, strings.Replace(claim, "MODE", "Filesystem", 1))
	s.facts.SourceAgents, s.facts.Agents = off, off
	s.silent(s.plan().Blockers, CodeBlockDevicesDisabled)
}

func TestAVolumeThatGrewIsRefusedClearlyWhereTheTargetsCannotFollow(t *testing.T) {
	s := tell(t, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, uid: u}
spec: {volumeName: pv, storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 3Gi}}}`)
	class := "fast"
	observed := TargetState{
		Live:    &Live{Suspended: true, Source: "cluster-a/shop/u", Class: &class, Request: resource.MustParse("2Gi")},
		Changed: true, Problem: &apply.Problem{Cause: apply.CauseDenied, Message: "only dynamically provisioned pvc can be resized"},
	}
	s.facts.Classes.List[0].Expansion = false
	s.observed = refused("persistentvolumeclaim/data", observed)
	p := s.plan()
	s.tells(p.Blockers, CodeTargetTooSmall, "3Gi", "2Gi", "class fast")
	s.silent(p.Blockers, CodeDenied)
	// Where the class lets volumes grow, the server's own words are the reason.
	s.facts.Classes.List[0].Expansion = true
	s.tells(s.plan().Blockers, CodeDenied, "dynamically provisioned")
	// Where it does grow, nothing is in the way.
	observed.Problem = nil
	s.observed = refused("persistentvolumeclaim/data", observed)
	if p := s.plan(); len(p.Blockers) > 0 {
		t.Errorf("blockers %+v", p.Blockers)
	}
}

func TestHooksOfTheApplicationArePlannedAndMistakesInThemBlock(t *testing.T) {
	const db = `
apiVersion: v1
kind: Pod
metadata:
  name: db-0
  uid: u
  labels: {app: db}
  annotations: {kubectl-motion.dev/pre-snapshot-command: 'COMMAND'}
spec: {nodeName: n1, containers: [{name: a, image: x}]}
status: {phase: Running}`
	s := tell(t, strings.Replace(db, "COMMAND", `["/bin/hold"]`, 1))
	p := s.plan()
	s.silent(p.Blockers, CodeSnapshotHook)
	s.tells(p.Warnings, CodeSnapshotHook, "not run")
	if len(p.Hooks) != 1 || p.Hooks[0].UID != "u" || p.Hooks[0].Pre.Command[0] != "/bin/hold" {
		t.Errorf("hooks %+v", p.Hooks)
	}
	s = tell(t, strings.Replace(db, "COMMAND", `/bin/hold`, 1))
	s.tells(s.plan().Blockers, CodeSnapshotHook, "pod db-0", "JSON array")
	idle, err := hooks.ParseRule(hooks.Pre, "app=web::sync")
	if err != nil {
		t.Fatal(err)
	}
	s = tell(t, strings.Replace(db, "COMMAND", `["/bin/hold"]`, 1))
	s.request.Hooks = []hooks.Rule{idle}
	s.tells(s.plan().Blockers, CodeSnapshotHook, "selects no running pod")
}
