// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	widgets    = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}
)

func faked(t *testing.T, texts ...string) (*cluster.Cluster, *dynamicfake.FakeDynamicClient) {
	t.Helper()
	var objects []runtime.Object
	for _, text := range texts {
		objects = append(objects, yamlObject(t, text))
	}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{configMaps: "ConfigMapList", widgets: "WidgetList"}, objects...)
	return &cluster.Cluster{Name: "fake", Dynamic: client}, client
}

// brought is an object of the target as a migration of a namespace leaves it.
func brought(version, kind, name, from string) string {
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: shop, uid: %s-uid, annotations: {kubectl-motion.dev/source: %s}}}",
		version, kind, name, name, from)
}

// TestNothingIsPrunedOnTheWordOfAListThatWasNotWhole: what is pruned was brought
// from this namespace, is of a kind that was listed whole, and the source was
// asked for it by name.
func TestNothingIsPrunedOnTheWordOfAListThatWasNotWhole(t *testing.T) {
	const here = "cluster-a/shop/1"
	dst, asked := faked(t,
		brought("v1", "ConfigMap", "gone", here), brought("v1", "ConfigMap", "hidden", here), brought("v1", "ConfigMap", "again", here),
		brought("v1", "ConfigMap", "kept", here), brought("v1", "ConfigMap", "of-another-namespace", "cluster-a/other/1"),
		brought("v1", "ConfigMap", "of-another-cluster", "cluster-c/shop/1"), "{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs, namespace: shop}}",
		brought("example.com/v1", "Widget", "unseen", here))
	src, client := faked(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: shop}}", "{apiVersion: v1, kind: ConfigMap, metadata: {name: again, namespace: shop}}")
	client.PrependReactor("get", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.(clienttesting.GetAction).GetName() != "hidden" {
			return false, nil, nil
		}
		return true, nil, apierrors.NewForbidden(configMaps.GroupResource(), "hidden", errors.New("no"))
	})

	inv := tell(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}").inventory()
	inv.Kinds = []inventory.Kind{{GVR: configMaps, Kind: "ConfigMap", OnTarget: true}, {GVR: widgets, Kind: "Widget", OnTarget: true}}
	inv.NotExamined = []inventory.NotExamined{{Group: widgets.Group, Version: widgets.Version, Resource: widgets.Resource, Reason: "Forbidden"}}

	orphans, err := ObserveOrphans(t.Context(), src, dst, inv, "shop")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range orphans {
		got = append(got, fmt.Sprintf("%s gone=%v unclear=%v", o.Ref, o.Gone, o.Unclear != ""))
	}
	slices.Sort(got)
	want := []string{"configmap/again gone=false unclear=true", "configmap/gone gone=true unclear=false", "configmap/hidden gone=false unclear=true"}
	if !slices.Equal(got, want) {
		t.Errorf("orphans %q, want %q", got, want)
	}
	for _, a := range asked.Actions() {
		if a.GetResource() == widgets {
			t.Error("a kind that could not be listed on the source is looked at on the target")
		}
	}
}

// TestTheTargetIsAskedByNameWhereItMayNotBeListed: the credential of a pair reads
// Secrets by name only, and what is there already must not look absent.
func TestTheTargetIsAskedByNameWhereItMayNotBeListed(t *testing.T) {
	s := tell(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}")
	d, err := NewDraft(s.inventory(), s.facts, s.request)
	if err != nil {
		t.Fatal(err)
	}
	dst, client := faked(t, brought("v1", "ConfigMap", "a", "cluster-a/shop/1"))
	client.PrependReactor("list", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(configMaps.GroupResource(), "", errors.New("by name only"))
	})
	live, err := d.live(t.Context(), dst)
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != 1 || live[inventory.ID{Kind: "ConfigMap", Name: "a"}] == nil {
		t.Errorf("seen on the target: %v", live)
	}
	client.PrependReactor("get", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("down")
	})
	if _, err := d.live(t.Context(), dst); err == nil || !strings.Contains(err.Error(), "configmaps") {
		t.Errorf("a target that gives no answer: %v", err)
	}
}
