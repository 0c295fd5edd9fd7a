// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
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

// handOver gives the fields of everything that was brought to whoever manages
// them from now on: Helm, Argo CD, an autoscaler. What cannot be handed over is
// said and keeps nothing from running.
func handOver(ctx context.Context, rec *record, sink progress.Sink) {
	served, err := inventory.Discover(rec.target.Cluster)
	if err != nil {
		progress.Warnf(sink, "the objects on %s are still ours: %v", rec.target, err)
		return
	}
	kinds, _ := inventory.Kinds(served, served)
	n, err := apply.HandOverAll(ctx, rec.target.Cluster, rec.target.Name, kinds, secretNames(ctx, rec.source))
	if err != nil {
		progress.Warnf(sink, "some objects on %s are still ours, and another manager that applies them will meet a conflict: %v", rec.target, err)
	}
	progress.Notef(sink, "%d objects handed over", n)
}

// secretNames are those of the source: the credential of a pair may not list
// Secrets on the target, but it may read one whose name it knows.
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
		return nil // nobody could have brought them either
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return map[schema.GroupVersionResource][]string{secrets: names}
}

// relink gives objects back their owners, as far as both are on the target.
func (r *Run) relink(ctx context.Context) {
	n, err := apply.Relink(ctx, r.Target, r.plan.Links)
	if err != nil {
		r.problems = append(r.problems, err.Error())
	}
	if n > 0 {
		progress.Notef(r.Sink, "%d objects have their owners again", n)
	}
}

// refuseWaiting: what cannot be on the target on standby is only in the source, and
// only a migration brings it. An activation without it would start a part of the
// application and call it the whole.
func (s *Switch) refuseWaiting(ctx context.Context, rec *record) error {
	ledger, _, err := report.Load(ctx, rec.target.Cluster, rec.target.Name, rec.name)
	if err != nil {
		return err
	}
	var waiting []string
	for _, row := range ledger.Rows {
		if row.Outcome == report.Waiting {
			waiting = append(waiting, row.Object)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	if s.Source == nil {
		progress.Warnf(s.Sink, "not on the target, because they cannot be on standby and the source cannot be reached: %s", strings.Join(waiting, ", "))
		return nil
	}
	return blocked("kubectl motion migrate --start brings them and starts the copy, with --cutover for good",
		"%s", fmt.Sprintf("the source still has what cannot be on the target on standby: %s", strings.Join(waiting, ", ")))
}

// stillWaiting says whether the plan has objects that a start would write.
func stillWaiting(p *plan.Plan) bool { return p != nil && len(p.Objects(plan.StageActivation)) > 0 }
