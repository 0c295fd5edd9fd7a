// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const (
	claimUID = "6f0a3d0e-8f0f-4d9a-9d3c-0a7c5f3f9b11"
	podUID   = "0c8b1f3a-52c1-4f3f-8f4e-6a0e3c1d2b10"
	otherUID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
)

// world is a shipment whose every check passes; each case bends one thing.
type world struct {
	shipment *v1alpha1.VolumeShipment
	pvc      *corev1.PersistentVolumeClaim
	pv       *corev1.PersistentVolume
	pod      *corev1.Pod
}

func fine() *world {
	w := &world{}
	w.shipment = &v1alpha1.VolumeShipment{ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "data-receive", UID: "s1"}}
	w.shipment.Spec.Role = v1alpha1.RoleReceive
	w.shipment.Spec.ClaimName, w.shipment.Spec.ClaimUID = "data", claimUID
	w.pvc = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "data", UID: claimUID}}
	w.pvc.Spec.VolumeName, w.pvc.Status.Phase = "pv-1", corev1.ClaimBound
	w.pv = &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1"}}
	w.pv.Status.Phase = corev1.VolumeBound
	w.pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "blue", Name: "data", UID: claimUID}
	w.pod = mountPodPod()
	return w
}

func mountPodPod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "blue", Name: "motion-mount-1", UID: podUID,
		Labels: map[string]string{v1alpha1.LabelMountPod: "true"},
	}}
	p.Spec.NodeName = "node-1"
	p.Spec.Volumes = []corev1.Volume{claimVolume("v", "data")}
	p.Spec.Containers = []corev1.Container{{Name: "hold", VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v", SubPath: "."}}}}
	p.Status.Phase = corev1.PodRunning
	return p
}

func claimVolume(name, claim string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}}
}

func deleting() *metav1.Time { return &metav1.Time{Time: time.Unix(1, 0)} }

func TestAClaimIsServedOnlyWhenItsVolumePointsBackAtIt(t *testing.T) {
	cases := map[string]func(*world){
		"claim missing":                 func(w *world) { w.pvc = nil },
		"claim of another namespace":    func(w *world) { w.pvc.Namespace = "red" },
		"claim of another name":         func(w *world) { w.pvc.Name = "logs" },
		"claim made again":              func(w *world) { w.pvc.UID = otherUID },
		"empty UIDs on both sides":      func(w *world) { w.pvc.UID, w.shipment.Spec.ClaimUID = "", "" },
		"claim being deleted":           func(w *world) { w.pvc.DeletionTimestamp = deleting() },
		"claim pending":                 func(w *world) { w.pvc.Status.Phase = corev1.ClaimPending },
		"claim without a volume":        func(w *world) { w.pvc.Spec.VolumeName = "" },
		"volume missing":                func(w *world) { w.pv = nil },
		"another volume":                func(w *world) { w.pv.Name = "pv-2" },
		"volume with a path for a name": func(w *world) { w.pv.Name, w.pvc.Spec.VolumeName = "../pv", "../pv" },
		"volume released":               func(w *world) { w.pv.Status.Phase = corev1.VolumeReleased },
		"volume being deleted":          func(w *world) { w.pv.DeletionTimestamp = deleting() },
		"volume of nobody":              func(w *world) { w.pv.Spec.ClaimRef = nil },
		"volume of another namespace":   func(w *world) { w.pv.Spec.ClaimRef.Namespace = "red" },
		"volume of another claim":       func(w *world) { w.pv.Spec.ClaimRef.Name = "logs" },
		"volume of the claim before":    func(w *world) { w.pv.Spec.ClaimRef.UID = otherUID },
		"volume pre-bound without UID":  func(w *world) { w.pv.Spec.ClaimRef.UID = "" },
	}
	if w := fine(); CheckClaim(w.shipment, w.pvc, w.pv) != nil {
		t.Fatalf("the good case fails: %v", CheckClaim(w.shipment, w.pvc, w.pv))
	}
	for name, bend := range cases {
		t.Run(name, func(t *testing.T) {
			w := fine()
			bend(w)
			wantReason(t, CheckClaim(w.shipment, w.pvc, w.pv), v1alpha1.ReasonClaimMismatch)
		})
	}
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", reason)
	}
	if got := fault.Reason(err); got != reason {
		t.Errorf("reason %s (%v), want %s", got, err, reason)
	}
}

func TestASeatIsAPodOfTheNamespaceOnThisNodeThatHasTheWholeVolume(t *testing.T) {
	w := fine()
	mnt, err := FindMount(w.pvc, []corev1.Pod{*w.pod}, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Mount{PodName: "motion-mount-1", PodUID: podUID, Container: "hold", MountIndex: 0, MountPod: true}); *mnt != want {
		t.Errorf("seat %+v, want %+v", *mnt, want)
	}

	mount := func(p *corev1.Pod) *corev1.VolumeMount { return &p.Spec.Containers[0].VolumeMounts[0] }
	cases := map[string]struct {
		bend   func(*corev1.Pod)
		reason string
	}{
		"no pod references the claim":     {func(p *corev1.Pod) { p.Spec.Volumes = nil }, v1alpha1.ReasonWaitingForMountPod},
		"pod of another namespace":        {func(p *corev1.Pod) { p.Namespace = "red" }, v1alpha1.ReasonWaitingForMountPod},
		"pod on another node":             {func(p *corev1.Pod) { p.Spec.NodeName = "node-2" }, v1alpha1.ReasonWaitingForMountPod},
		"pod not running yet":             {func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, v1alpha1.ReasonWaitingForMountPod},
		"pod ended":                       {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, v1alpha1.ReasonWaitingForMountPod},
		"pod being deleted":               {func(p *corev1.Pod) { p.DeletionTimestamp = deleting() }, v1alpha1.ReasonWaitingForMountPod},
		"mirror pod":                      {func(p *corev1.Pod) { p.Annotations = map[string]string{mirrorAnnotation: "x"} }, v1alpha1.ReasonMountPodInvalid},
		"static pod":                      {func(p *corev1.Pod) { p.Annotations = map[string]string{sourceAnnotation: "file"} }, v1alpha1.ReasonMountPodInvalid},
		"UID that is a path":              {func(p *corev1.Pod) { p.UID = "../../../../etc" }, v1alpha1.ReasonMountPodInvalid},
		"UID of a static pod":             {func(p *corev1.Pod) { p.UID = "0123456789abcdef0123456789abcdef" }, v1alpha1.ReasonMountPodInvalid},
		"container name that is a path":   {func(p *corev1.Pod) { p.Spec.Containers[0].Name = ".." }, v1alpha1.ReasonMountPodInvalid},
		"a part of the volume":            {func(p *corev1.Pod) { mount(p).SubPath = "pgdata" }, v1alpha1.ReasonMountPodInvalid},
		"no subPath":                      {func(p *corev1.Pod) { mount(p).SubPath = "" }, v1alpha1.ReasonMountPodInvalid},
		"subPath that only ends in a dot": {func(p *corev1.Pod) { mount(p).SubPath = "./." }, v1alpha1.ReasonMountPodInvalid},
		"subPathExpr":                     {func(p *corev1.Pod) { mount(p).SubPathExpr = "$(X)" }, v1alpha1.ReasonMountPodInvalid},
		"the whole of another claim": {func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, claimVolume("w", "logs"))
			mount(p).Name = "w"
		}, v1alpha1.ReasonMountPodInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := fine()
			c.bend(w.pod)
			_, err := FindMount(w.pvc, []corev1.Pod{*w.pod}, "node-1")
			wantReason(t, err, c.reason)
		})
	}
}

func TestTheSeatIsTheRightMountOfSeveral(t *testing.T) {
	w := fine()
	w.pod.Spec.Volumes = append(w.pod.Spec.Volumes, claimVolume("w", "logs"))
	w.pod.Spec.Containers = []corev1.Container{
		{Name: "a", VolumeMounts: []corev1.VolumeMount{{Name: "w", SubPath: "."}, {Name: "v", SubPath: "part"}}},
		{Name: "b", VolumeMounts: []corev1.VolumeMount{{Name: "w", SubPath: "."}, {Name: "v"}, {Name: "v", SubPath: "."}}},
	}
	mnt, err := FindMount(w.pvc, []corev1.Pod{*w.pod}, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	if mnt.Container != "b" || mnt.MountIndex != 2 {
		t.Errorf("seat %s/%d, want b/2", mnt.Container, mnt.MountIndex)
	}
}

func TestMountPodsAreTakenBeforeOtherPodsAndOldPodsBeforeNewOnes(t *testing.T) {
	w := fine()
	app, late := mountPodPod(), mountPodPod()
	app.Name, app.Labels, app.CreationTimestamp = "app", nil, metav1.Unix(1, 0)
	late.Name, late.CreationTimestamp = "a-later-mount-pod", metav1.Unix(9, 0)
	w.pod.CreationTimestamp = metav1.Unix(5, 0)
	mnt, err := FindMount(w.pvc, []corev1.Pod{*app, *late, *w.pod}, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	if mnt.PodName != w.pod.Name {
		t.Errorf("seat in %s, want %s", mnt.PodName, w.pod.Name)
	}
}

func TestABlockClaimIsReachedThroughVolumeDevices(t *testing.T) {
	w := fine()
	mode := corev1.PersistentVolumeBlock
	w.pvc.Spec.VolumeMode = &mode
	_, err := FindMount(w.pvc, []corev1.Pod{*w.pod}, "node-1")
	wantReason(t, err, v1alpha1.ReasonMountPodInvalid)
	w.pod.Spec.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "v", DevicePath: "/dev/x"}}
	mnt, err := FindMount(w.pvc, []corev1.Pod{*w.pod}, "node-1")
	if err != nil || !mnt.Block {
		t.Errorf("seat %+v, %v", mnt, err)
	}
}

func TestAClaimIsExclusiveOnlyWhenNothingButMountPodsCouldWriteIt(t *testing.T) {
	appPod := func(change func(*corev1.Pod)) VolumeUsers {
		p := mountPodPod()
		p.Name, p.Labels = "pg-0", nil
		if change != nil {
			change(p)
		}
		return VolumeUsers{Pods: []corev1.Pod{*mountPodPod(), *p}}
	}
	attachment := func(pv, node string) VolumeUsers {
		return VolumeUsers{Attachments: []storagev1.VolumeAttachment{{Spec: storagev1.VolumeAttachmentSpec{
			NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv},
		}}}}
	}
	other := func(change func(*v1alpha1.VolumeShipment)) VolumeUsers {
		o := *fine().shipment
		o.UID, o.Status.NodeName = "s2", "node-2"
		if change != nil {
			change(&o)
		}
		return VolumeUsers{Shipments: []v1alpha1.VolumeShipment{*fine().shipment, o}}
	}
	cases := map[string]struct {
		n      VolumeUsers
		shared bool
	}{
		"nobody":                             {VolumeUsers{}, false},
		"a mount pod":                        {VolumeUsers{Pods: []corev1.Pod{*mountPodPod()}}, false},
		"a running application":              {appPod(nil), true},
		"a pending application":              {appPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }), true},
		"an application of unknown phase":    {appPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodUnknown }), true},
		"a terminating application":          {appPod(func(p *corev1.Pod) { p.DeletionTimestamp = deleting() }), true},
		"an application on another node":     {appPod(func(p *corev1.Pod) { p.Spec.NodeName = "node-2" }), true},
		"an application without a node":      {appPod(func(p *corev1.Pod) { p.Spec.NodeName = "" }), true},
		"an application that succeeded":      {appPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), false},
		"an application that failed":         {appPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), false},
		"an application of another claim":    {appPod(func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{claimVolume("v", "logs")} }), false},
		"an application of other namespaces": {appPod(func(p *corev1.Pod) { p.Namespace = "red" }), false},
		"an application with the label":      {appPod(func(p *corev1.Pod) { *p = labelledApplication() }), true},
		"attached here":                      {attachment("pv-1", "node-1"), false},
		"attached elsewhere":                 {attachment("pv-1", "node-2"), true},
		"another volume elsewhere":           {attachment("pv-2", "node-2"), false},
		"a receiver on another node":         {other(nil), true},
		"a receiver of another claim":        {other(func(o *v1alpha1.VolumeShipment) { o.Spec.ClaimName = "logs" }), false},
		"a receiver that nobody serves":      {other(func(o *v1alpha1.VolumeShipment) { o.Status.NodeName = "" }), false},
		"a receiver on this node":            {other(func(o *v1alpha1.VolumeShipment) { o.Status.NodeName = "node-1" }), false},
		"a sender on another node":           {other(func(o *v1alpha1.VolumeShipment) { o.Spec.Role = v1alpha1.RoleSend }), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := fine()
			err := CheckExclusive(w.shipment, w.pv, "node-1", c.n)
			if !c.shared && err != nil {
				t.Fatalf("not exclusive: %v", err)
			}
			if c.shared {
				wantReason(t, err, v1alpha1.ReasonNotExclusive)
			}
		})
	}
}

func labelledApplication() corev1.Pod {
	p := mountPodPod()
	p.Name = "pg-0"
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "token"})
	p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "token"})
	return *p
}

func TestTheClaimOfAGenericEphemeralVolumeIsReferencedByItsPod(t *testing.T) {
	p := mountPodPod()
	p.Name, p.Spec.Volumes = "web-0", []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
	if !References(p, "web-0-cache") || References(p, "cache") {
		t.Error("the ephemeral claim of pod web-0 is web-0-cache and no other")
	}
}

func TestAMountPodOnTheSourceMountsReadOnly(t *testing.T) {
	p := mountPodPod()
	if IsMountPod(p, v1alpha1.RoleSend) || !IsMountPod(p, v1alpha1.RoleReceive) {
		t.Error("a writing mount: a mount pod of a receiver, but not of a sender")
	}
	p.Spec.Containers[0].VolumeMounts[0].ReadOnly = true
	if !IsMountPod(p, v1alpha1.RoleSend) {
		t.Error("a read-only mount is not taken for a mount pod")
	}
	p.Spec.InitContainers = []corev1.Container{{Name: "init"}}
	if IsMountPod(p, v1alpha1.RoleReceive) {
		t.Error("a pod with init containers is taken for a mount pod")
	}
}

// cloned is a sender's world with view Snapshot: what is mounted is the clone.
func cloned() *world {
	w := fine()
	w.shipment.Spec.Role, w.shipment.Spec.CopyMethod = v1alpha1.RoleSend, v1alpha1.CopyMethodSnapshot
	w.shipment.Spec.Snapshot = &v1alpha1.ShipmentSnapshot{ClaimName: "clone", ClaimUID: otherUID}
	w.pvc.Name, w.pvc.UID = "clone", otherUID
	w.pv.Spec.ClaimRef.Name, w.pv.Spec.ClaimRef.UID = "clone", otherUID
	return w
}

func TestWithASnapshotEverythingIsProvedOfTheClone(t *testing.T) {
	if w := cloned(); CheckClaim(w.shipment, w.pvc, w.pv) != nil {
		t.Fatalf("the good case fails: %v", CheckClaim(w.shipment, w.pvc, w.pv))
	}
	for name, bend := range map[string]func(*world){
		"the shipment's own claim":   func(w *world) { w.pvc, w.pv = fine().pvc, fine().pv },
		"clone of another namespace": func(w *world) { w.pvc.Namespace = "red" },
		"clone made again":           func(w *world) { w.pvc.UID = podUID },
		"volume of another claim":    func(w *world) { w.pv.Spec.ClaimRef.Name = "data" },
		"volume elsewhere":           func(w *world) { w.pv.Spec.ClaimRef.Namespace = "red" },
	} {
		t.Run(name, func(t *testing.T) {
			w := cloned()
			bend(w)
			wantReason(t, CheckClaim(w.shipment, w.pvc, w.pv), v1alpha1.ReasonClaimMismatch)
		})
	}
	w := cloned()
	app := mountPodPod()
	app.Name, app.Labels, app.Spec.Volumes = "pg-0", nil, []corev1.Volume{claimVolume("v", "data")}
	if err := CheckExclusive(w.shipment, w.pv, "node-1", VolumeUsers{Pods: []corev1.Pod{*app}}); err != nil {
		t.Errorf("the application has its own claim, not the clone: %v", err)
	}
	app.Spec.Volumes[0] = claimVolume("v", "clone")
	wantReason(t, CheckExclusive(w.shipment, w.pv, "node-1", VolumeUsers{Pods: []corev1.Pod{*app}}), v1alpha1.ReasonNotExclusive)
}

func TestWhatIsRememberedBelongsToTheClaimThatIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		bend func(*corev1.PersistentVolumeClaim)
		ok   bool
	}{
		"the claim":            {func(*corev1.PersistentVolumeClaim) {}, true},
		"one that is going":    {func(p *corev1.PersistentVolumeClaim) { p.DeletionTimestamp = deleting() }, true},
		"one made again":       {func(p *corev1.PersistentVolumeClaim) { p.UID = podUID }, false},
		"another's":            {func(p *corev1.PersistentVolumeClaim) { p.Namespace = "red" }, false},
		"one of another name":  {func(p *corev1.PersistentVolumeClaim) { p.Name = "logs" }, false},
		"one without identity": {func(p *corev1.PersistentVolumeClaim) { p.UID = "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			origin := fine().pvc
			c.bend(origin)
			err := CheckOrigin(cloned().shipment, origin)
			if c.ok && err != nil {
				t.Fatal(err)
			}
			if !c.ok {
				wantReason(t, err, v1alpha1.ReasonClaimMismatch)
			}
		})
	}
	wantReason(t, CheckOrigin(cloned().shipment, nil), v1alpha1.ReasonClaimMismatch)
}
