//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// forged writes a Migration on both clusters, as a team may, whose status says that
// a cutover was interrupted after it had stopped these workloads.
func (s *shop) forged(t *testing.T, stopped ...v1alpha1.StoppedWorkload) {
	t.Helper()
	spec := v1alpha1.MigrationSpec{
		ClusterPair: "lab-b", Mode: v1alpha1.ModeCutover,
		Source: v1alpha1.MigrationEnd{ClusterID: s.a.ID, Namespace: s.namespace},
		Target: v1alpha1.MigrationEnd{ClusterID: s.b.ID, Namespace: s.namespace},
	}
	for _, c := range []*cluster.Cluster{s.a, s.b} {
		remove(t, c, s.namespace, "migrations.v1alpha1.kubectl-motion.dev", "")
		m, err := cluster.Create(t.Context(), c, v1alpha1.Migrations, s.namespace, &v1alpha1.Migration{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Migration"},
			ObjectMeta: metav1.ObjectMeta{Name: "lab-b"}, Spec: spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Status.Stopped = stopped
		meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{Type: v1alpha1.MigrationSourceStopped, Status: metav1.ConditionTrue, Reason: "Stopping"})
		if _, err := cluster.UpdateStatus(t.Context(), c, v1alpha1.Migrations, s.namespace, m); err != nil {
			t.Fatal(err)
		}
	}
}

// marked gives a team's Deployment the mark of a cutover that stopped it, on standby.
func marked(t *testing.T, s *shop) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	await(t, "the mark on the deployment of "+s.namespace, func() (err error) {
		d, err = s.a.Kube.AppsV1().Deployments(s.namespace).Get(t.Context(), "shop", metav1.GetOptions{})
		if err != nil {
			return err
		}
		none := int32(0)
		d.Spec.Replicas = &none
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.AnnotationStopped, "lab-b")
		d, err = s.a.Kube.AppsV1().Deployments(s.namespace).Update(t.Context(), d, metav1.UpdateOptions{})
		return err
	})
	return d
}

// Layer: the plugin, for an administrator that runs a team's rollback; RBAC, for
// the team itself. A Migration's status is its team's to write: what it says was
// stopped is started as far as a migration could have stopped it.
func TestARollbackDoesNotFollowAnEditedMigrationElsewhere(t *testing.T) {
	s, other := built(t, blue, "lab-local"), built(t, red, "lab-local")
	mine, theirs := marked(t, s), marked(t, other)
	pod := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"planted","namespace":%q},"spec":{"containers":[{"name":"c","image":"lab/tools:1"}]}}`, red)
	for _, c := range []struct {
		name    string
		stopped v1alpha1.StoppedWorkload
		says    string
	}{
		{
			"another team's deployment, by a path", v1alpha1.StoppedWorkload{
				Group: "apps", Version: "v1", Resource: "../" + red + "/deployments", Kind: "Deployment", Name: "shop", UID: string(theirs.UID), OriginalState: `{"replicas":7}`,
			}, "a migration does not stop",
		},
		{
			"another team's deployment, by a version", v1alpha1.StoppedWorkload{
				Group: "apps", Version: "v1/namespaces/" + red + "/deployments/shop/..", Resource: "deployments", Kind: "Deployment", Name: "shop", UID: string(theirs.UID), OriginalState: `{"replicas":7}`,
			}, "a migration does not stop",
		},
		{
			"a pod for another team", v1alpha1.StoppedWorkload{
				Version: "v1", Resource: "../" + red + "/pods", Kind: "Pod", Name: "planted", UID: "u", OriginalState: pod,
			}, "a migration does not stop",
		},
		{
			"a pod that is remembered in another namespace", v1alpha1.StoppedWorkload{
				Version: "v1", Resource: "pods", Kind: "Pod", Name: "planted", UID: "u", OriginalState: pod,
			}, "planted",
		},
		{
			"a kind that is never on standby", v1alpha1.StoppedWorkload{
				Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings", Kind: "RoleBinding", Name: "shop", UID: "u", OriginalState: `{}`,
			}, "a migration does not stop",
		},
		{
			"values that none of ours are", v1alpha1.StoppedWorkload{
				Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment", Name: "shop", UID: string(mine.UID), OriginalState: `{"replicas":"many"}`,
			}, "invalid",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.forged(t, c.stopped)
			for _, who := range []string{"lab-a", "lab-a-" + blue} {
				r := motion(t, "rollback", "--context", who, "-n", blue, "--to", "lab-b", "--progress", "plain")
				if r.code != 1 || r.stdout != "" {
					t.Errorf("rollback as %s: %s", who, r)
				}
				if !strings.Contains(r.stderr, c.says) {
					t.Errorf("rollback as %s does not say %q: %s", who, c.says, r)
				}
			}
			for _, o := range []*shop{s, other} {
				if n := o.replicas(t, o.a); n != 0 {
					t.Errorf("the deployment of %s has %d replicas now", o.namespace, n)
				}
				if _, err := o.a.Kube.CoreV1().Pods(o.namespace).Get(t.Context(), "planted", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					t.Errorf("a pod was planted in %s: error %v", o.namespace, err)
				}
			}
			d, err := other.a.Kube.AppsV1().Deployments(red).Get(t.Context(), "shop", metav1.GetOptions{})
			if err != nil || d.Generation != theirs.Generation || d.Annotations[v1alpha1.AnnotationStopped] == "" {
				t.Errorf("the other team's deployment was touched: %v, error %v", d.ObjectMeta, err)
			}
		})
	}
	t.Run("and an honest one is followed", func(t *testing.T) {
		s.forged(t, v1alpha1.StoppedWorkload{
			Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment", Name: "shop", UID: string(mine.UID), OriginalState: `{"replicas":1}`,
		})
		must(t, s.args("rollback")...)
		s.runsOnly(t, s.a, s.b)
		s.untouched(t)
	})
}
