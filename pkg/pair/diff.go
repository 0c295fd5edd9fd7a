// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// Verbs of an item, in the words of kubectl.
const (
	created    = "created"
	configured = "configured"
	unchanged  = "unchanged"
)

// item is one object that a pairing wants on a cluster.
type item struct {
	on     *cluster.Cluster
	object *unstructured.Unstructured
	// install is set for what all pairs of a cluster share.
	install bool
	// replace writes the whole object, which was read before, instead of our fields.
	replace bool
	// secret is set for what holds a token. The token is made when it is written,
	// by what grants it.
	secret bool
	verb   string
	note   string
	// written is set, with the UID, when this run wrote the object.
	written bool
	uid     types.UID
}

// Diff is what a pairing would write.
type Diff struct {
	items []item
	// warnings are what the person should know before they say yes.
	warnings []string
	// stale are pairs whose credential must be recreated.
	stale map[Mapping]bool
	force bool
}

// Changes says whether anything would be written.
func (d *Diff) Changes() bool {
	return slices.ContainsFunc(d.items, func(i item) bool { return i.verb != unchanged })
}

// Question is what the person is asked; empty when there is nothing to decide.
func (d *Diff) Question() string {
	if !d.Changes() {
		return ""
	}
	return d.Text() + "Continue?"
}

// Text is the preview.
func (d *Diff) Text() string {
	var b strings.Builder
	if !d.Changes() {
		b.WriteString("Nothing would change.\n")
	}
	var clusters []string
	for _, i := range d.items {
		if !slices.Contains(clusters, i.on.Name) {
			clusters = append(clusters, i.on.Name)
		}
	}
	for _, c := range clusters {
		d.textOf(&b, c)
	}
	for _, w := range d.warnings {
		b.WriteString(w + "\n")
	}
	return b.String()
}

func (d *Diff) textOf(b *strings.Builder, name string) {
	install, same := map[string]int{}, 0
	var lines []string
	for _, i := range d.items {
		switch {
		case i.on.Name != name:
		case i.verb == unchanged:
			same++
		case i.install:
			install[i.verb]++
		default:
			line := fmt.Sprintf("  %s is %s", i, i.verb)
			if i.note != "" {
				line += " (" + i.note + ")"
			}
			lines = append(lines, line)
		}
	}
	fmt.Fprintf(b, "On %s:\n", name)
	for _, verb := range []string{created, configured} {
		if n := install[verb]; n > 0 {
			fmt.Fprintf(b, "  %d objects of the installation are %s: the API, the agents, their rights and admission policies\n", n, verb)
		}
	}
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	if same > 0 {
		fmt.Fprintf(b, "  %d objects stay as they are\n", same)
	}
}

func (i item) String() string {
	gvk := i.object.GroupVersionKind()
	s := strings.ToLower(gvk.Kind)
	if gvk.Group != "" {
		s += "." + gvk.Group
	}
	s += "/" + i.object.GetName()
	if ns := i.object.GetNamespace(); ns != "" {
		s += " in " + ns
	}
	return s
}

// compare finds out for each item what writing it would do.
func (p *Pairing) compare(ctx context.Context, d *Diff) error {
	for n := range d.items {
		i := &d.items[n]
		if i.verb != "" {
			continue
		}
		var err error
		if i.verb, err = verbOf(ctx, *i); err != nil {
			return err
		}
	}
	d.stale = map[Mapping]bool{}
	for _, m := range p.Request.Namespaces {
		why := p.staleReason(ctx, m)
		if why == "" {
			continue
		}
		d.stale[m] = true
		for n := range d.items {
			i := &d.items[n]
			if i.secret && i.on == p.Source && (i.object.GetNamespace() == m.Source || i.object.GetName() == p.rotatorName(m)) && i.verb == unchanged {
				i.verb = configured
				i.note = "a new token: " + why
			}
		}
	}
	return p.warn(ctx, d)
}

// warn adds what else the credential reaches, besides its own rights.
func (p *Pairing) warn(ctx context.Context, d *Diff) error {
	for _, m := range p.Request.Namespaces {
		granted, err := p.grantedRoles(ctx, m.Target)
		if err != nil {
			return err
		}
		may, err := p.usableAccounts(ctx, m)
		if err != nil {
			return err
		}
		var lines, refused []string
		for _, g := range granted {
			if g.everybody || may.has(g.account) {
				lines = append(lines, g.String())
			} else {
				refused = append(refused, g.String())
			}
		}
		tokens, err := p.tokenSecrets(ctx, m.Target)
		if err != nil {
			return err
		}
		if lines = append(lines, tokens...); len(lines) > 0 {
			d.warnings = append(d.warnings, fmt.Sprintf(
				"The pair's credential can create pods and read Secrets by name in namespace %s on %s. Through them it also reaches:\n  %s",
				m.Target, p.Target, strings.Join(lines, "\n  ")))
		}
		if len(refused) > 0 {
			d.warnings = append(d.warnings, fmt.Sprintf(
				"ServiceAccounts of namespace %s on %s with rights of their own. The pair's pods cannot run as these; use --service-account to allow one:\n  %s",
				m.Target, p.Target, strings.Join(refused, "\n  ")))
		}
	}
	return nil
}

// verbOf asks the API server what applying an item would change. A kind or a
// namespace that is not there yet is among the items too.
func verbOf(ctx context.Context, i item) (string, error) {
	gvr, namespaced, err := i.on.ResourceFor(i.object.GroupVersionKind())
	if err != nil {
		return created, nil //nolint:nilerr // its CRD is written before it
	}
	namespace := ""
	if namespaced {
		namespace = i.object.GetNamespace()
	}
	r := i.on.Resource(gvr, namespace)
	before, err := r.Get(ctx, i.object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return created, nil
	}
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", i, i.on, err)
	}
	after := i.object
	if i.secret {
		return unchanged, nil
	}
	if !i.replace {
		after, err = r.Apply(ctx, i.object.GetName(), i.object, metav1.ApplyOptions{
			FieldManager: v1alpha1.FieldManager, Force: true, DryRun: []string{metav1.DryRunAll},
		})
		if err != nil {
			return "", fmt.Errorf("%s on %s: %w", i, i.on, err)
		}
	}
	if sameContent(before, after) {
		return unchanged, nil
	}
	return configured, nil
}

// write writes what differs and says what became of each object. Force is right
// here and nowhere else: these objects are ours alone.
func (p *Pairing) write(ctx context.Context, items []item) error {
	for n := range items {
		i := &items[n]
		if i.secret {
			continue
		}
		if err := writeItem(ctx, i); err != nil {
			return fmt.Errorf("%s on %s: %w", i, i.on, err)
		}
		progress.Objectf(p.Sink, "%s %s", i, i.verb)
	}
	return nil
}

func writeItem(ctx context.Context, i *item) error {
	if i.verb == unchanged {
		return nil
	}
	gvr, namespaced, err := resourceOf(ctx, i.on, i.object)
	if err != nil {
		return err
	}
	namespace := ""
	if namespaced {
		namespace = i.object.GetNamespace()
	}
	r := i.on.Resource(gvr, namespace)
	var got *unstructured.Unstructured
	switch {
	case i.replace && i.verb == created:
		got, err = r.Create(ctx, i.object, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	case i.replace:
		got, err = r.Update(ctx, i.object, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
	default:
		got, err = r.Apply(ctx, i.object.GetName(), i.object, metav1.ApplyOptions{FieldManager: v1alpha1.FieldManager, Force: true})
	}
	if err == nil {
		i.written, i.uid = true, got.GetUID()
	}
	return err
}

// sameContent says whether an object is what it was. Its resourceVersion does not
// tell: controllers write statuses meanwhile, and the API server sorts
// managedFields again after they did.
func sameContent(before, after *unstructured.Unstructured) bool {
	before, after = before.DeepCopy(), after.DeepCopy()
	for _, o := range []*unstructured.Unstructured{before, after} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		// The server counts a generation in a dry run, too.
		o.SetGeneration(0)
		unstructured.RemoveNestedField(o.Object, "status")
	}
	return equality.Semantic.DeepEqual(before, after)
}

// wanted makes an item of a typed object.
func wanted(on *cluster.Cluster, o runtime.Object) (item, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return item{}, err
	}
	u := &unstructured.Unstructured{Object: m}
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "status")
	return item{on: on, object: u}, nil
}

func ours(name, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue}}
}
