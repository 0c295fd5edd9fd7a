// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

func TestANamespaceThatIsMadeHasTheSourcesPodSecurityOrTheStrictest(t *testing.T) {
	restricted := map[string]string{podSecurityPrefix + "enforce": "restricted", podSecurityPrefix + "audit": "restricted", podSecurityPrefix + "warn": "restricted"}
	source := map[string]string{podSecurityPrefix + "enforce": "baseline", podSecurityPrefix + "enforce-version": "v1.30", "team": "shop"}
	for name, c := range map[string]struct {
		level  string
		source map[string]string
		want   map[string]string
		note   string
	}{
		"the source's own":                    {"", source, map[string]string{podSecurityPrefix + "enforce": "baseline", podSecurityPrefix + "enforce-version": "v1.30"}, "Pod Security baseline, as on the source"},
		"none on the source":                  {"", map[string]string{"team": "shop"}, restricted, "Pod Security restricted"},
		"one that was asked for":              {"restricted", source, restricted, "Pod Security restricted"},
		"only a warning on the source counts": {"", map[string]string{podSecurityPrefix + "warn": "baseline"}, restricted, "Pod Security restricted"},
	} {
		labels, note := podSecurity(c.level, c.source)
		if d := cmp.Diff(c.want, labels); d != "" || note != c.note {
			t.Errorf("%s: %q %s", name, note, d)
		}
	}
}

func TestARotatorWorksInEveryQuarterOfACredentialsLife(t *testing.T) {
	for ttl, want := range map[time.Duration]string{
		10 * time.Minute: "*/2 * * * *", time.Hour: "*/15 * * * *", 3 * time.Hour: "*/30 * * * *",
	} {
		if got := schedule(ttl, "x"); got != want {
			t.Errorf("%s: %q, want %q", ttl, got, want)
		}
	}
	for ttl, hours := range map[time.Duration]string{24 * time.Hour: "*/6 * * *", 720 * time.Hour: "*/12 * * *", 4 * time.Hour: "*/1 * * *"} {
		if got := schedule(ttl, "x"); !strings.HasSuffix(got, " "+hours) {
			t.Errorf("%s: %q, want every %s", ttl, got, hours)
		}
	}
}

func TestWhatIsNotSaidAboutAPolicyStays(t *testing.T) {
	q := resource.MustParse("50Mi")
	own := v1alpha1.MotionPolicySpec{MaxBandwidth: &q, MaxConcurrentShipments: 9, AllowUnpaired: true, MountPodTemplate: &v1alpha1.MountPodTemplate{Image: "mine"}}
	spec := *own.DeepCopy()
	PolicyOptions{}.apply(&spec)
	if d := cmp.Diff(own, spec); d != "" {
		t.Error(d)
	}
	two, preserve, no, image := int32(2), v1alpha1.SpecialFilesPreserve, false, "pause:1"
	slow := resource.MustParse("1Mi")
	PolicyOptions{
		MaxBandwidth: &slow, MaxConcurrentShipments: &two, SpecialFiles: &preserve, AllowUnpaired: &no, MountPodImage: &image, MountPodPullSecrets: []string{"pull"},
	}.apply(&spec)
	want := v1alpha1.MotionPolicySpec{
		MaxBandwidth: &slow, MaxConcurrentShipments: 2, SpecialFiles: preserve,
		MountPodTemplate: &v1alpha1.MountPodTemplate{Image: "pause:1", ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}}},
	}
	if d := cmp.Diff(want, spec); d != "" {
		t.Error(d)
	}
}

func TestEachPairHasPoliciesOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range []struct {
		m    Mapping
		pair string
	}{{Mapping{"a", "a"}, "west"}, {Mapping{"b", "a"}, "west"}, {Mapping{"a", "a"}, "east"}, {Mapping{"a", "b"}, "north"}} {
		a, b := PolicyNames("id", p.m, p.pair)
		if seen[a] || seen[b] {
			t.Errorf("%v shares a policy: %s, %s", p, a, b)
		}
		seen[a], seen[b] = true, true
	}
}

func wantedOn(c *cluster.Cluster, kind, name, verb string, secret bool) item {
	u := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"token": "c2VjcmV0"}}}
	u.SetAPIVersion("v1")
	u.SetKind(kind)
	u.SetName(name)
	u.SetNamespace("shop")
	u.SetResourceVersion("7")
	return item{on: c, object: u, verb: verb, secret: secret}
}

func TestThePreviewSaysWhatChangesOnWhichCluster(t *testing.T) {
	a, b := &cluster.Cluster{Name: "a"}, &cluster.Cluster{Name: "b"}
	shared := wantedOn(a, "ConfigMap", "x", created, false)
	shared.install = true
	d := &Diff{items: []item{shared, wantedOn(a, "Secret", "s", configured, true), wantedOn(b, "ServiceAccount", "m", unchanged, false)}, warnings: []string{"careful"}}
	d.items[1].note = "a new token"
	want := "On a:\n  1 objects of the installation are created: the API, the agents, their rights and admission policies\n" +
		"  secret/s in shop is configured (a new token)\nOn b:\n  1 objects stay as they are\ncareful\n"
	if diff := cmp.Diff(want, d.Text()); diff != "" {
		t.Error(diff)
	}
	same := &Diff{items: []item{wantedOn(b, "ServiceAccount", "m", unchanged, false)}}
	if q := same.Question(); q != "" {
		t.Errorf("nothing changes, and it asks %q", q)
	}
}

func TestAnExportHoldsNoSecretAndNothingOfOneCluster(t *testing.T) {
	a, b := &cluster.Cluster{Name: "a"}, &cluster.Cluster{Name: "b"}
	p := &Pairing{Source: a, Target: b, Request: Request{Name: "west", Namespaces: []Mapping{{"shop", "shop"}}}}
	d := &Diff{items: []item{wantedOn(a, "ConfigMap", "x", unchanged, false), wantedOn(a, "Secret", "s", created, true), wantedOn(b, "ConfigMap", "other", created, false)}}
	text, err := p.Export(d, a)
	if err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"kind: Secret", "resourceVersion", "name: other"} {
		if strings.Contains(string(text), not) {
			t.Errorf("the export has %q:\n%s", not, text)
		}
	}
	for _, has := range []string{"kind: ConfigMap", "name: x", "kubectl motion pair renew west -n shop --context a --to-context b"} {
		if !strings.Contains(string(text), has) {
			t.Errorf("the export lacks %q:\n%s", has, text)
		}
	}
}

func TestATokenSaysWhoseItIsAndWhenItEnds(t *testing.T) {
	body := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"system:serviceaccount:a:b","exp":1700000000}`))
	c, err := ReadClaims("h." + body + ".s")
	if err != nil || c.Subject != "system:serviceaccount:a:b" || !c.Expiry.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%+v %v", c, err)
	}
	for _, bad := range []string{"", "a.b", "h.!.s", "h." + base64.RawURLEncoding.EncodeToString([]byte("no")) + ".s"} {
		if _, err := ReadClaims(bad); err == nil || (len(bad) > 3 && strings.Contains(err.Error(), bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestACredentialNeverOutlivesItsPair(t *testing.T) {
	p := &Pairing{Request: Request{Expires: 90 * 24 * time.Hour, CredentialTTL: 24 * time.Hour}}
	if got := p.ttl(time.Now().Add(time.Hour)); got > time.Hour {
		t.Errorf("it lives %s, the pair one hour", got)
	}
	if got := p.ttl(time.Now().Add(48 * time.Hour)); got != 24*time.Hour {
		t.Errorf("it lives %s", got)
	}
}
