// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// TextOptions choose how much of a plan Text lists.
type TextOptions struct {
	// Skipped lists every skipped object instead of one line for each reason.
	Skipped bool
	// Verbose lists every finding and every object that needs an administrator
	// instead of one line for each cause.
	Verbose bool
}

// Text formats the plan for people. Strings from the clusters are not escaped: the
// caller escapes the result for a terminal.
func Text(p *plan.Plan, o TextOptions) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s  ->  %s in %s, %s\n\n", p.Source.Namespace, p.Source.Cluster, p.Target.Namespace, p.Target.Cluster, mode(p.Mode))
	objects(&b, p)
	volumes(&b, p)
	snapshotHooks(&b, p)
	skipped(&b, p, o.Skipped)
	pruned(&b, p)
	needsAdmin(&b, p, o.Verbose)
	warnings := p.Warnings
	if !o.Verbose {
		// The table of objects that need an administrator has them.
		warnings = slices.DeleteFunc(slices.Clone(warnings), func(f plan.Finding) bool { return f.Code == plan.CodeNeedsAdmin && f.Object != nil })
	}
	findings(&b, "WARNINGS", warnings, o.Verbose)
	findings(&b, "BLOCKERS", p.Blockers, o.Verbose)
	summary(&b, p)
	return b.String()
}

func mode(m v1alpha1.Mode) string {
	switch m {
	case v1alpha1.ModeStart:
		return "started beside the running source"
	case v1alpha1.ModeCutover:
		return "cutover"
	}
	return "on standby"
}

func table(b io.Writer, rows func(w io.Writer)) {
	w := tabwriter.NewWriter(b, 0, 8, 3, ' ', 0)
	rows(w)
	// A strings.Builder takes everything.
	_ = w.Flush()
	fmt.Fprintln(b)
}

// cell keeps a string from a cluster within its cell.
func cell(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\v' || r == '\f' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

func objects(b io.Writer, p *plan.Plan) {
	moving := slices.DeleteFunc(slices.Clone(p.Items), func(i plan.Item) bool { return i.Verdict != inventory.Move })
	if len(moving) == 0 {
		fmt.Fprintln(b, "No objects to migrate.")
		fmt.Fprintln(b)
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "OBJECT\tACTION\tCHANGES")
		for _, i := range moving {
			lines := notable(i)
			fmt.Fprintf(w, "%s\t%s\t%s\n", cell(i.Source.String()), i.Action, lines[0])
			for _, l := range lines[1:] {
				fmt.Fprintf(w, "\t\t%s\n", l)
			}
		}
	})
}

// maxNotable is the number of changes that are listed for one object.
const maxNotable = 8

// notable returns the lines about an item: at least one, which may be empty.
func notable(i plan.Item) []string {
	var lines []string
	if i.Detail != "" {
		lines = append(lines, cell(i.Detail))
	}
	if i.Stage == plan.StageActivation {
		lines = append(lines, "created on activation")
	}
	for _, c := range i.Changes {
		if !c.Notable {
			continue
		}
		if len(lines) == maxNotable {
			lines = append(lines, "and more, see -o yaml")
			break
		}
		what := c.Path
		switch {
		case c.To == "" && c.From != "":
			what += ": " + c.From + " removed"
		case c.To != "" && c.To != c.From:
			what += ": " + c.To
		}
		lines = append(lines, cell(what+" ("+c.Why+")"))
	}
	if len(lines) == 0 {
		return []string{""}
	}
	return lines
}

func volumes(b io.Writer, p *plan.Plan) {
	if len(p.Volumes) == 0 {
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "VOLUME\tSIZE\tDATA\tCLASS\tMODES\tCOPY METHOD\tUSED BY")
		for _, v := range p.Volumes {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cell(v.Claim), v.TargetRequest.String(), data(v), cell(classes(v)), modes(v), cell(v.CopyDescription()), cell(users(v)))
		}
	})
}

func snapshotHooks(b io.Writer, p *plan.Plan) {
	if len(p.Hooks) == 0 {
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "POD WITH HOOKS\tBEFORE SNAPSHOT\tAFTER SNAPSHOT")
		for _, h := range p.Hooks {
			fmt.Fprintf(w, "%s\t%s\t%s\n", cell(h.Name), cell(hook(h.Pre)), cell(hook(h.Post)))
		}
	})
}

func hook(h *hooks.Hook) string {
	if h == nil {
		return "-"
	}
	return fmt.Sprintf("%s: %s (%s, on error %s)", h.Container, strings.Join(h.Command, " "), h.Timeout.Duration, h.OnError)
}

// data is the amount of data to send, as far as a user of the namespace can know.
func data(v plan.Volume) string {
	if v.BytesBasis == plan.BasisShipment {
		return progress.Bytes(v.AtMostBytes) + " (last sync)"
	}
	return "at most " + progress.Bytes(v.AtMostBytes)
}

func classes(v plan.Volume) string {
	from, to := orNone(v.StorageClass), orNone(v.TargetClass)
	if from == to {
		return from
	}
	return from + " -> " + to
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func modes(v plan.Volume) string {
	var out []string
	for _, m := range v.AccessModes {
		out = append(out, string(m))
	}
	return string(v.VolumeMode) + " " + strings.Join(out, ",")
}

func users(v plan.Volume) string {
	var out []string
	for _, w := range v.Workloads {
		out = append(out, w.String())
	}
	if len(out) == 0 {
		return "<none>"
	}
	return strings.Join(out, ", ")
}

// skipped lists the skipped objects: by reason, or one by one.
func skipped(b io.Writer, p *plan.Plan, each bool) {
	byReason := map[inventory.Reason][]plan.Item{}
	for _, i := range p.Items {
		if i.Verdict == inventory.Skip {
			byReason[i.Reason] = append(byReason[i.Reason], i)
		}
	}
	if len(byReason) == 0 {
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "SKIPPED\tREASON\tEXPLANATION")
		for _, reason := range slices.Sorted(maps.Keys(byReason)) {
			items := byReason[reason]
			if !each {
				fmt.Fprintf(w, "%s\t%s\t%s\n", cell(kinds(items)), reason, reason.Explanation())
				continue
			}
			for _, i := range items {
				fmt.Fprintf(w, "%s\t%s\t%s\n", cell(i.Source.String()), reason, cell(detail(i)))
			}
		}
	})
}

func detail(i plan.Item) string {
	if i.Detail != "" {
		return i.Detail
	}
	return i.Reason.Explanation()
}

// kinds counts items by resource, as in "12 pods, 3 replicasets".
func kinds(items []plan.Item) string {
	n := map[string]int{}
	for _, i := range items {
		n[i.Source.Resource]++
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%d %s", n[k], k))
	}
	return strings.Join(out, ", ")
}

func pruned(b io.Writer, p *plan.Plan) {
	if len(p.Prune) == 0 {
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "DELETED ON THE TARGET\tREASON")
		for _, r := range p.Prune {
			fmt.Fprintf(w, "%s\t%s\n", cell(r.String()), "created by an earlier migration and deleted on the source")
		}
	})
}

func summary(b io.Writer, p *plan.Plan) {
	c := p.Counts()
	fmt.Fprintf(b, "%s to write, %d waiting for activation, %d unchanged, %d skipped, %d need an administrator, %d kinds not examined\n",
		counted(int(c.Moved), "object", "objects"), c.Waiting, c.Unchanged, c.Skipped, c.NeedsAdmin, c.NotExamined)
	if len(p.Volumes) > 0 && p.Transfer != nil {
		fmt.Fprintln(b, transfer(p))
	}
	if p.Route != nil {
		fmt.Fprintln(b, cell(routeText(p.Route)))
	}
}

// routeText names the route of the volumes' data and the reason for it.
func routeText(c *route.Choice) string {
	text := fmt.Sprintf("route %s: %s", c.Route, c.Reason)
	if c.Fallback != "" {
		text += "; fallback " + c.Fallback
	}
	return text
}

// transfer is the upper bound of bytes and time: data that is on the target already
// is not sent again.
func transfer(p *plan.Plan) string {
	t := p.Transfer
	how := "measured by earlier shipments from this namespace"
	if t.RateBasis == plan.BasisAssumed {
		how = "an assumed rate, because no earlier shipment is large enough to measure"
	}
	return fmt.Sprintf("%s, at most %s to send in at most %s at %s/s (%s)",
		counted(len(p.Volumes), "volume", "volumes"), progress.Bytes(t.AtMostBytes),
		time.Duration(t.AtMostSeconds)*time.Second, progress.Bytes(t.BytesPerSecond), how)
}
