// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/report"
)

// handOver releases the ownership of the fields of migrated objects to the managers
// that apply them from now on: Helm, Argo CD, an autoscaler. Objects for which that
// fails are a warning and run nevertheless.
func handOver(ctx context.Context, rec *record, sink progress.Sink) {
	served, err := inventory.Discover(rec.target.Cluster)
	if err != nil {
		progress.Warnf(sink, "field ownership on %s was not released: %v", rec.target, err)
		return
	}
	kinds, _ := inventory.Kinds(served, served)
	n, err := apply.HandOverAll(ctx, rec.target.Cluster, rec.target.Name, kinds, secretNames(ctx, rec.source))
	if err != nil {
		progress.Warnf(sink, "field ownership of some objects on %s was not released, and other managers that apply them will get conflicts: %v", rec.target, err)
	}
	progress.Notef(sink, "field ownership of %d objects released", n)
}

// secretNames are those of the source: the credential of a pair may not list
// Secrets on the target, but it may get one by name.
func secretNames(ctx context.Context, source cluster.Namespace) map[schema.GroupVersionResource][]string {
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	if source.Cluster == nil {
		return nil
	}
	client, err := metadata.NewForConfig(source.Cluster.Config)
	if err != nil {
		return nil
	}
	list, err := client.Resource(secrets).Namespace(source.Name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil // a user who cannot list Secrets cannot have migrated them
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return map[schema.GroupVersionResource][]string{secrets: names}
}

// relink sets the owner references of objects again, as far as both are on the target.
func (r *Run) relink(ctx context.Context) {
	n, err := apply.Relink(ctx, r.Target, r.plan.Links)
	if err != nil {
		r.problems = append(r.problems, err.Error())
	}
	if n > 0 {
		progress.Notef(r.Sink, "owner references of %d objects restored", n)
	}
}

// rejectWaiting fails when objects that cannot be on standby are only on the source:
// only a migration applies them, and an activation without them would start a part of
// the application.
func (s *Switch) rejectWaiting(ctx context.Context, rec *record) error {
	saved, _, err := report.Load(ctx, rec.target.Cluster, rec.target.Name, rec.name)
	if err != nil {
		return err
	}
	var waiting []string
	for _, row := range saved.Rows {
		if row.Outcome == report.Waiting {
			waiting = append(waiting, row.Object)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	if s.Source == nil {
		progress.Warnf(s.Sink, "objects that cannot be on standby are missing on the target, and the source cannot be reached: %s", strings.Join(waiting, ", "))
		return nil
	}
	return blocked("to apply them and start the copy: "+s.Invocation.Command("migrate", "--start")+
		"; to move the application: "+s.Invocation.Command("migrate", "--cutover"),
		"objects that cannot be on standby are only on the source: %s", strings.Join(waiting, ", "))
}

// stillWaiting is true when the plan has objects that a start would write.
func stillWaiting(p *plan.Plan) bool { return p != nil && len(p.Objects(plan.StageActivation)) > 0 }
