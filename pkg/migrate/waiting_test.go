// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/invocation"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/report"
)

// heard keeps the messages of the events.
type heard struct{ texts []string }

func (h *heard) Emit(e progress.Event) { h.texts = append(h.texts, e.Message) }
func (*heard) Close()                  {}

// end is one side of a migration that ended on standby, with its report.
func end(t *testing.T, id string, m *v1alpha1.Migration, rows ...report.Row) *cluster.Cluster {
	t.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(m)
	if err != nil {
		t.Fatal(err)
	}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{v1alpha1.Migrations: "MigrationList"}, &unstructured.Unstructured{Object: raw})
	c := &cluster.Cluster{Name: id, ID: id, Namespace: "shop", Dynamic: client, Kube: fake.NewClientset()}
	if err := report.Save(t.Context(), c, m, report.Summary{Rows: rows}); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestActivateIsRefusedWhileSomethingWaitsInTheSource: objects that cannot be on standby
// are not on the target, and the application is not complete without them.
func TestActivateIsRefusedWhileSomethingWaitsInTheSource(t *testing.T) {
	m := &v1alpha1.Migration{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Migration"},
		ObjectMeta: metav1.ObjectMeta{Name: "west", Namespace: "shop", UID: "m"},
		Spec: v1alpha1.MigrationSpec{
			Mode:   v1alpha1.ModeStandby,
			Source: v1alpha1.MigrationEnd{ClusterID: "a", Namespace: "shop"}, Target: v1alpha1.MigrationEnd{ClusterID: "b", Namespace: "shop"},
		},
	}
	row := report.Row{Object: "cluster.db.example.com/pg", Outcome: report.Waiting}
	a, b := end(t, "a", m, row), end(t, "b", m, row)
	s := &Switch{
		Source: a, Target: b, Name: "west", Sink: &heard{},
		Invocation: invocation.Invocation{Namespace: "shop", To: "west", Name: "trial"},
	}
	err := s.Activate(t.Context())
	var refused *BlockedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), row.Object) || !strings.Contains(refused.Hint, "migrate --to west -n shop --name trial --start") {
		t.Fatalf("%v, want a refusal that names %s and migrate --start", err, row.Object)
	}
	for _, c := range []*cluster.Cluster{a, b} {
		got, err := getMigration(t.Context(), cluster.Namespace{Cluster: c, Name: "shop"}, "west")
		if err != nil || len(got.Status.Conditions) != 0 {
			t.Errorf("on %s the migration was touched: %+v, error %v", c, got.Status, err)
		}
	}
}

// TestWithoutItsSourceACopyIsActivatedAndWhatIsNotThereIsSaid: nothing can apply the
// missing objects any more.
func TestWithoutItsSourceACopyIsActivatedAndWhatIsNotThereIsSaid(t *testing.T) {
	m := &v1alpha1.Migration{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Migration"},
		ObjectMeta: metav1.ObjectMeta{Name: "west", Namespace: "shop", UID: "m"},
	}
	b := end(t, "b", m, report.Row{Object: "pod/db", Outcome: report.Waiting}, report.Row{Object: "configmap/a", Outcome: report.Failed})
	said := &heard{}
	s := &Switch{Target: b, Name: "west", Sink: said}
	if err := s.rejectWaiting(t.Context(), &record{name: "west", target: cluster.Namespace{Cluster: b, Name: "shop"}}); err != nil {
		t.Errorf("rejected although the source is gone: %v", err)
	}
	if len(said.texts) != 1 || !strings.Contains(said.texts[0], "pod/db") || strings.Contains(said.texts[0], "configmap/a") {
		t.Errorf("said %q", said.texts)
	}
}
