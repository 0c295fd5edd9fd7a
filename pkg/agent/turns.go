// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import "slices"

// turns is the order in which shipments are looked at: each namespace in turn, within one in
// the order of arrival. A namespace with a thousand shipments delays another's by one. It is
// what a workqueue keeps its items in, and guards against concurrent use.
type turns struct {
	waiting map[string][]key
	// order has the namespaces that have something waiting; the first is next.
	order []string
	n     int
}

func newTurns() *turns { return &turns{waiting: map[string][]key{}} }

// Touch is part of workqueue.Queue: what is added again keeps its place.
func (*turns) Touch(key) {}

// Push adds a shipment behind those of its namespace.
func (q *turns) Push(k key) {
	if len(q.waiting[k.namespace]) == 0 {
		q.order = append(q.order, k.namespace)
	}
	q.waiting[k.namespace] = append(q.waiting[k.namespace], k)
	q.n++
}

// Len is how many shipments wait.
func (q *turns) Len() int { return q.n }

// Pop takes the next shipment; there is one.
func (q *turns) Pop() key {
	namespace := q.order[0]
	q.order = slices.Delete(q.order, 0, 1)
	rest := q.waiting[namespace]
	k := rest[0]
	if rest = rest[1:]; len(rest) > 0 {
		q.waiting[namespace] = rest
		q.order = append(q.order, namespace)
	} else {
		delete(q.waiting, namespace)
	}
	q.n--
	return k
}
