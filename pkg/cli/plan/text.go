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

// Text is the plan for people. Everything in it that comes from a cluster is as
// it came: whoever prints it escapes it.
func Text(p *plan.Plan, skipped bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s  ->  %s in %s, %s\n\n", p.Source.Namespace, p.Source.Cluster, p.Target.Namespace, p.Target.Cluster, mode(p.Mode))
	objects(&b, p)
	volumes(&b, p)
	snapshotHooks(&b, p)
	stays(&b, p, skipped)
	pruned(&b, p)
	needsAdmin(&b, p)
	findings(&b, "WARNINGS", p.Warnings)
	findings(&b, "BLOCKED", p.Blockers)
	summary(&b, p)
	return b.String()
}

func mode(m v1alpha1.Mode) string {
	switch m {
	case v1alpha1.ModeStart:
		return "started beside the source"
	case v1alpha1.ModeCutover:
		return "for good"
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

// cell keeps a string from the cluster within its cell.
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
		fmt.Fprintln(b, "Nothing moves.")
		fmt.Fprintln(b)
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "OBJECT\tACTION\tWHAT IS DIFFERENT")
		for _, i := range moving {
			lines := notable(i)
			fmt.Fprintf(w, "%s\t%s\t%s\n", cell(i.Source.String()), i.Action, lines[0])
			for _, l := range lines[1:] {
				fmt.Fprintf(w, "\t\t%s\n", l)
			}
		}
	})
}

// maxNotable is how many differences of one object are listed.
const maxNotable = 8

// notable are the lines about an item; there is at least one, maybe empty.
func notable(i plan.Item) []string {
	var lines []string
	if i.Detail != "" {
		lines = append(lines, cell(i.Detail))
	}
	if i.Stage == plan.StageActivation {
		lines = append(lines, "is written when the copy is activated")
	}
	for _, c := range i.Changes {
		if !c.Notable {
			continue
		}
		if len(lines) == maxNotable {
			lines = append(lines, "and more: see -o yaml")
			break
		}
		what := c.Path
		switch {
		case c.To == "" && c.From != "":
			what += " " + c.From + " is dropped"
		case c.To != "" && c.To != c.From:
			what += " becomes " + c.To
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
		fmt.Fprintln(w, "VOLUME\tSIZE\tDATA\tCLASS\tMODES\tVIEW\tUSED BY")
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
		fmt.Fprintln(w, "HOOKS OF POD\tBEFORE A SNAPSHOT\tAFTER IT")
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

// data is how much there is to send, as far as a user can know.
func data(v plan.Volume) string {
	if v.BytesBasis == plan.BasisShipment {
		return progress.Bytes(v.AtMostBytes) + " (last time)"
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
		return "nobody"
	}
	return strings.Join(out, ", ")
}

// stays lists what stays behind: by reason, or one by one.
func stays(b io.Writer, p *plan.Plan, each bool) {
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
		fmt.Fprintln(w, "STAYS\tREASON\tWHY")
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

// kinds counts items by resource: 12 pods, 3 replicasets.
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
		fmt.Fprintln(w, "DELETED ON THE TARGET\tWHY")
		for _, r := range p.Prune {
			fmt.Fprintf(w, "%s\t%s\n", cell(r.String()), "an earlier migration brought it, and the source does not have it any more")
		}
	})
}

func needsAdmin(b io.Writer, p *plan.Plan) {
	items := p.NeedsAdmin()
	if len(items) == 0 {
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprintln(w, "NEEDS AN ADMINISTRATOR\tREASON\tWHY")
		for _, i := range items {
			fmt.Fprintf(w, "%s\t%s\t%s\n", cell(i.Source.String()), i.Reason, i.Reason.Explanation())
		}
	})
	fmt.Fprintf(b, "--export DIR writes their manifests to DIR/needs-admin\n\n")
}

// maxFindings of one code are listed; a namespace of thousands of objects may
// have the same trouble with all of them.
const maxFindings = 20

func findings(b io.Writer, title string, list []plan.Finding) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(b, title)
	n := map[plan.Code]int{}
	for _, f := range list {
		if n[f.Code]++; n[f.Code] > maxFindings {
			continue
		}
		subject := ""
		if f.Object != nil {
			subject = f.Object.String() + ": "
		}
		fmt.Fprintf(b, "  %s\n", cell(subject+f.Message))
		if f.Hint != "" {
			fmt.Fprintf(b, "    %s\n", cell(f.Hint))
		}
	}
	for _, code := range slices.Sorted(maps.Keys(n)) {
		if n[code] > maxFindings {
			fmt.Fprintf(b, "  and %d more of %s: see -o yaml\n", n[code]-maxFindings, code)
		}
	}
	fmt.Fprintln(b)
}

func summary(b io.Writer, p *plan.Plan) {
	c := p.Counts()
	fmt.Fprintf(b, "%s to write, %d unchanged, %d stay, %d for an administrator, %d kinds not examined\n",
		counted(int(c.Moved), "object", "objects"), c.Unchanged, c.Skipped, c.NeedsAdmin, c.NotExamined)
	if len(p.Volumes) > 0 && p.Transfer != nil {
		fmt.Fprintln(b, transfer(p))
	}
	if p.Route != nil {
		fmt.Fprintln(b, cell(way(p.Route)))
	}
}

// way says how the volumes' data goes, and why.
func way(c *route.Choice) string {
	text := fmt.Sprintf("route %s: %s", c.Route, c.Reason)
	if c.Fallback != "" {
		text += "; fallback " + c.Fallback
	}
	return text
}

// transfer is what the volumes cost. What is on the target already is not sent
// again, so it is never more than that.
func transfer(p *plan.Plan) string {
	t := p.Transfer
	how := "which earlier shipments from here reached"
	if t.RateBasis == plan.BasisAssumed {
		how = "which is assumed: nothing of weight was shipped from here to there yet"
	}
	return fmt.Sprintf("%s, at most %s to send: at most %s at %s/s, %s",
		counted(len(p.Volumes), "volume", "volumes"), progress.Bytes(t.AtMostBytes),
		time.Duration(t.AtMostSeconds)*time.Second, progress.Bytes(t.BytesPerSecond), how)
}
