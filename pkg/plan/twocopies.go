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

// twoCopies warns about effects outside of the cluster that a copy beside its running
// source has for a second time: DNS names, served hosts, schedules.
func (b *builder) twoCopies(items []Item) error {
	for _, i := range items {
		if i.Verdict != inventory.Move || i.Target == nil {
			continue
		}
		effect, err := externalEffect(i)
		if err != nil {
			return err
		}
		if effect == "" {
			continue
		}
		ref := i.Source
		b.warn(Finding{
			Code: CodeTwoCopies, Object: &ref,
			Message: "both copies will " + effect,
			Hint:    "use --exclude " + named(ref) + ", or change it with --patch",
		})
	}
	return nil
}

const annotationHostname = "external-dns.alpha.kubernetes.io/hostname"

func externalEffect(i Item) (string, error) {
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
		return "publish the DNS name " + name, nil
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
