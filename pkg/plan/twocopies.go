// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// twoCopies warns, when a copy is to run beside its source, about what both
// will do for the whole world to see: claim a name in DNS, serve a host, run a
// schedule.
func (b *builder) twoCopies(items []Item) error {
	for _, i := range items {
		if i.Verdict != inventory.Move || i.Target == nil {
			continue
		}
		what, err := seenOutside(i)
		if err != nil {
			return err
		}
		if what == "" {
			continue
		}
		ref := i.Source
		b.warn(Finding{
			Code: CodeTwoCopies, Object: &ref,
			Message: "both copies will " + what,
			Hint:    "leave it out with --exclude " + named(ref) + ", or change it with --patch",
		})
	}
	return nil
}

const annotationHostname = "external-dns.alpha.kubernetes.io/hostname"

func seenOutside(i Item) (string, error) {
	switch i.Source.GroupKind() {
	case schema.GroupKind{Kind: "Service"}, kindIngress, schema.GroupKind{Group: "batch", Kind: "CronJob"}:
	default:
		return "", nil
	}
	u, err := i.active()
	if err != nil {
		return "", err
	}
	if name := u.GetAnnotations()[annotationHostname]; name != "" {
		return "claim the name " + name + " in DNS", nil
	}
	switch i.Source.Kind {
	case "Ingress":
		if hosts := ingressHosts(u); len(hosts) > 0 {
			return "serve " + strings.Join(hosts, ", "), nil
		}
	case "CronJob":
		suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
		schedule, _, _ := unstructured.NestedString(u.Object, "spec", "schedule")
		if !suspended {
			return fmt.Sprintf("run it at %q", schedule), nil
		}
	}
	return "", nil
}

func ingressHosts(u *unstructured.Unstructured) []string {
	rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	var out []string
	for _, r := range rules {
		m, _ := r.(map[string]any)
		if host, _ := m["host"].(string); host != "" && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}
