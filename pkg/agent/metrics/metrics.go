// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics is what an agent counts, for Prometheus.
//
// Names are motion_agent_<what>_<unit>[_total]. Labels are of closed sets: a role,
// a reason of the API, why a connection was turned away. No object's name is one:
// users who may read metrics need not learn what the namespaces of a cluster hold,
// and a user who makes a thousand shipments must not make a thousand series.
//
// A nil *Metrics counts nothing.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

// Why a connection was turned away.
const (
	TooMany   = "too_many"
	Malformed = "malformed"
	Unknown   = "unknown_shipment"
	Forged    = "forged_origin"
	Unproved  = "unproved"
)

// Metrics of one agent.
type Metrics struct {
	registry    *prometheus.Registry
	syncs       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	sent, wire  *prometheus.CounterVec
	working     *prometheus.GaugeVec
	refused     *prometheus.CounterVec
	handedOn    prometheus.Gauge
	handedTotal prometheus.Counter
}

// New makes metrics that start at zero.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		syncs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "motion_agent_syncs_total", Help: "Generations that ended, by role and by the reason that the shipment shows for it.",
		}, []string{"role", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "motion_agent_sync_duration_seconds", Help: "Time from a generation's first connection to its end, of those that shipped.",
			Buckets: prometheus.ExponentialBuckets(0.5, 4, 9),
		}, []string{"role"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "motion_agent_sent_bytes_total", Help: "Data of ended generations that was shipped, before compression.",
		}, []string{"role"}),
		wire: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "motion_agent_wire_bytes_total", Help: "What of it went over the network.",
		}, []string{"role"}),
		working: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "motion_agent_sessions", Help: "Generations in work, waiting ones included.",
		}, []string{"role"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "motion_agent_connections_refused_total", Help: "Connections that were turned away, by why.",
		}, []string{"why"}),
		handedOn: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "motion_agent_connections_forwarded", Help: "Connections that are being passed on to other nodes.",
		}),
		handedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "motion_agent_connections_forwarded_total", Help: "Connections that were passed on to other nodes.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "motion_agent_build_info", Help: "1, with the agent's version.", ConstLabels: prometheus.Labels{"version": version.Get().Version},
	})
	build.Set(1)
	m.registry.MustRegister(m.syncs, m.seconds, m.sent, m.wire, m.working, m.refused, m.handedOn, m.handedTotal, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second})
}

// Begun counts a session.
func (m *Metrics) Begun(role string) {
	if m != nil {
		m.working.WithLabelValues(role).Inc()
	}
}

// Sync is how a session ended.
type Sync struct {
	Role, Reason string
	// Shipped, with Took from the first connection to the end.
	Shipped    bool
	Took       time.Duration
	Sent, Wire int64
}

// Ended counts the end of a session.
func (m *Metrics) Ended(g Sync) {
	if m == nil {
		return
	}
	m.working.WithLabelValues(g.Role).Dec()
	m.syncs.WithLabelValues(g.Role, g.Reason).Inc()
	m.sent.WithLabelValues(g.Role).Add(float64(max(g.Sent, 0)))
	m.wire.WithLabelValues(g.Role).Add(float64(max(g.Wire, 0)))
	if g.Shipped {
		m.seconds.WithLabelValues(g.Role).Observe(g.Took.Seconds())
	}
}

// Refused counts a connection that was turned away.
func (m *Metrics) Refused(why string) {
	if m != nil {
		m.refused.WithLabelValues(why).Inc()
	}
}

// Forwarded counts a connection that is passed on, until the returned function is
// called.
func (m *Metrics) Forwarded() (end func()) {
	if m == nil {
		return func() {}
	}
	m.handedTotal.Inc()
	m.handedOn.Inc()
	return m.handedOn.Dec
}
