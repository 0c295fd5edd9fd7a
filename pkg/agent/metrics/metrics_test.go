// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func used() *Metrics {
	m := New()
	m.Begun("Send")
	m.Begun("Send")
	m.Ended(Sync{Role: "Send", Reason: "Shipped", Shipped: true, Took: 3 * time.Second, Sent: 1000, Wire: 300})
	m.Refused(Forged)
	end := m.Forwarded()
	m.Forwarded()
	end()
	return m
}

func TestWhatHappensIsCounted(t *testing.T) {
	got := scrape(t, used())
	for _, want := range []string{
		`motion_agent_sessions{role="Send"} 1`,
		`motion_agent_syncs_total{reason="Shipped",role="Send"} 1`,
		`motion_agent_sent_bytes_total{role="Send"} 1000`,
		`motion_agent_wire_bytes_total{role="Send"} 300`,
		`motion_agent_sync_duration_seconds_count{role="Send"} 1`,
		`motion_agent_connections_refused_total{why="forged_origin"} 1`,
		`motion_agent_connections_forwarded 1`,
		`motion_agent_connections_forwarded_total 2`,
		`motion_agent_build_info{version=`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestNamesFollowTheRuleAndNoLabelNamesAnObject(t *testing.T) {
	name := regexp.MustCompile(`^motion_agent_[a-z]+(_[a-z]+)*$`)
	labels := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(scrape(t, used())) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "go_") || strings.HasPrefix(line, "process_") || strings.HasPrefix(line, "promhttp_") {
			continue
		}
		family, rest, _ := strings.Cut(line, "{")
		family, _, _ = strings.Cut(family, " ")
		if !name.MatchString(family) {
			t.Errorf("metric %s", family)
		}
		for _, l := range labels.FindAllStringSubmatch(rest, -1) {
			switch l[1] {
			case "role", "reason", "why", "version", "le":
			default:
				t.Errorf("label %s of %s", l[1], family)
			}
		}
	}
}

func TestNothingIsCountedWithoutMetrics(t *testing.T) {
	var m *Metrics
	m.Begun("Send")
	m.Ended(Sync{})
	m.Refused(Unknown)
	m.Forwarded()()
}
