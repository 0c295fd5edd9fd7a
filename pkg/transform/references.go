// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// renamed is true when the namespace has another name on the target.
func (r *transformation) renamed() bool { return r.opts.Source.Namespace != r.opts.Target.Namespace }

// namespaceField changes a field with the name of the source namespace.
func (r *transformation) namespaceField(o map[string]any, field, at string) {
	if !r.renamed() || o[field] != r.opts.Source.Namespace {
		return
	}
	o[field] = r.opts.Target.Namespace
	r.note(Change{Path: at, From: r.opts.Source.Namespace, To: r.opts.Target.Namespace, Why: "--to-namespace", Notable: true})
}

// roleBinding changes the namespace of its subjects.
func (r *transformation) roleBinding() {
	for i, s := range elements(r.o, "subjects") {
		r.namespaceField(s, "namespace", fmt.Sprintf("subjects[%d].namespace", i))
	}
}

// nameLabel is the label that every namespace has.
const nameLabel = "kubernetes.io/metadata.name"

// networkPolicy changes peers that select the namespace by its name.
func (r *transformation) networkPolicy() {
	for _, direction := range []struct{ rules, peers string }{{"ingress", "from"}, {"egress", "to"}} {
		for i, rule := range elements(r.o, "spec", direction.rules) {
			for j, peer := range elements(rule, direction.peers) {
				at := fmt.Sprintf("spec.%s[%d].%s[%d].namespaceSelector.matchLabels", direction.rules, i, direction.peers, j)
				if labels := nested(peer, "namespaceSelector", "matchLabels"); labels != nil {
					r.namespaceField(labels, nameLabel, at)
				}
			}
		}
	}
}

// endpoints removes node names of the source.
func (r *transformation) endpoints() {
	for _, e := range elements(r.o, "endpoints") {
		delete(e, "nodeName")
	}
	for _, s := range elements(r.o, "subsets") {
		for _, a := range elements(s, "addresses") {
			delete(a, "nodeName")
		}
	}
	unstructured.RemoveNestedField(r.o, "metadata", "labels", "endpointslice.kubernetes.io/managed-by")
}
