// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// needsAdmin lists the objects that need an administrator: one line for each kind
// and reason, or one by one.
func needsAdmin(b io.Writer, p *plan.Plan, each bool) {
	items := p.NeedsAdmin()
	if len(items) > 0 {
		table(b, func(w io.Writer) {
			fmt.Fprintln(w, "NEEDS AN ADMINISTRATOR\tREASON\tEXPLANATION")
			for _, group := range byKindAndReason(items, each) {
				i := group[0]
				name := i.Source.String()
				if len(group) > 1 {
					name = kinds(group)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", cell(name), i.Reason, i.Reason.Explanation())
			}
		})
	}
	if len(p.Manifests) > 0 {
		fmt.Fprintf(b, "Use --export-admin FILE to write the manifests of %s for an administrator of the target.\n\n",
			counted(len(p.Manifests), "object", "objects"))
	}
}

// byKindAndReason groups items; with each, every item is a group.
func byKindAndReason(items []plan.Item, each bool) [][]plan.Item {
	type key struct {
		resource, group string
		reason          inventory.Reason
		n               int
	}
	at := map[key]int{}
	var out [][]plan.Item
	for n, i := range items {
		k := key{i.Source.Resource, i.Source.Group, i.Reason, 0}
		if each {
			k.n = n
		}
		if _, found := at[k]; !found {
			at[k] = len(out)
			out = append(out, nil)
		}
		out[at[k]] = append(out[at[k]], i)
	}
	return out
}

const (
	// maxFindings of one code are listed.
	maxFindings = 20
	// maxSubjects of one finding are named.
	maxSubjects = 5
)

// findings lists findings: those with the same code, message and hint in one line
// that names their objects, or one by one.
func findings(b io.Writer, title string, list []plan.Finding, each bool) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(b, title)
	n := map[plan.Code]int{}
	for _, group := range byCause(list, each) {
		f := group[0]
		if n[f.Code]++; n[f.Code] > maxFindings && !each {
			continue
		}
		fmt.Fprintf(b, "  %s\n", cell(subjects(group)+f.Message))
		if f.Hint != "" {
			fmt.Fprintf(b, "    %s\n", cell(f.Hint))
		}
	}
	for _, code := range slices.Sorted(maps.Keys(n)) {
		if n[code] > maxFindings && !each {
			fmt.Fprintf(b, "  and %d more of %s, use --verbose to list them\n", n[code]-maxFindings, code)
		}
	}
	fmt.Fprintln(b)
}

func byCause(list []plan.Finding, each bool) [][]plan.Finding {
	type key struct {
		code          plan.Code
		message, hint string
		n             int
	}
	at := map[key]int{}
	var out [][]plan.Finding
	for n, f := range list {
		k := key{f.Code, f.Message, f.Hint, 0}
		if each {
			k.n = n
		}
		if _, found := at[k]; !found {
			at[k] = len(out)
			out = append(out, nil)
		}
		out[at[k]] = append(out[at[k]], f)
	}
	return out
}

// subjects names the objects of findings with the same cause.
func subjects(group []plan.Finding) string {
	var names []string
	for _, f := range group {
		if f.Object != nil {
			names = append(names, f.Object.String())
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) > maxSubjects:
		return fmt.Sprintf("%s and %d more: ", strings.Join(names[:maxSubjects], ", "), len(names)-maxSubjects)
	}
	return strings.Join(names, ", ") + ": "
}
