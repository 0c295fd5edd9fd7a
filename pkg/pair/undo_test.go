// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"errors"
	"io"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

type fixedMapper struct{ *meta.DefaultRESTMapper }

func (fixedMapper) Reset() {}

func TestUndo(t *testing.T) {
	configMaps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	c := &cluster.Cluster{Name: "a", Mapper: fixedMapper{mapper}}
	d := &Diff{items: []item{
		wantedOn(c, "ConfigMap", "created", created, false), wantedOn(c, "ConfigMap", "configured", configured, false),
		wantedOn(c, "ConfigMap", "installed", created, false), wantedOn(c, "ConfigMap", "not-reached", created, false),
	}}
	d.items[2].install = true
	var objects []runtime.Object
	for n := range d.items[:3] {
		i := &d.items[n]
		i.written, i.uid = true, i.object.GetUID()
		objects = append(objects, i.object.DeepCopy())
	}
	// It appeared meanwhile, and is not this run's.
	objects = append(objects, d.items[3].object.DeepCopy())
	c.Dynamic = dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), objects...)
	cause := errors.New("no agents")
	sink, err := progress.NewSink(progress.ModeQuiet, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	p := &Pairing{Source: c, Target: c, Sink: sink}
	if err := p.undo(t.Context(), d, cause); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	list, err := c.Dynamic.Resource(configMaps).Namespace("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for i := range list.Items {
		left = append(left, list.Items[i].GetName())
	}
	slices.Sort(left)
	if !slices.Equal(left, []string{"configured", "installed", "not-reached"}) {
		t.Errorf("left: %q", left)
	}
}
