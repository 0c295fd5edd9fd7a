// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/client"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// Verdict on a hop.
type Verdict string

// The verdicts. Unknown is what the caller may not look at.
const (
	OK      Verdict = "ok"
	Failed  Verdict = "failed"
	Unknown Verdict = "unknown"
)

// Hop is one thing that must work for a migration to work.
type Hop struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Message string  `json:"message"`
	// Next is what to do about it.
	Next string `json:"next,omitempty"`
}

// Report is about one pair.
type Report struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Hops      []Hop  `json:"hops"`
}

// Good says whether every hop was looked at and works.
func (r Report) Good() bool {
	return !slices.ContainsFunc(r.Hops, func(h Hop) bool { return h.Verdict != OK })
}

// Check looks at one pair.
type Check struct {
	Source    *cluster.Cluster
	Namespace string
	Name      string
	// Route lets a pod dial the target's agents, in the agents' namespace or, for
	// who may not make pods there, in the pair's, and measures the relay's way.
	Route bool
	// Version is the plugin's.
	Version string
	Now     time.Time

	pair   *v1alpha1.ClusterPair
	target *cluster.Cluster
	report Report
}

const repair = "an administrator runs: kubectl motion pair"

// Run checks hop after hop. What depends on a hop that failed is left out.
func (c *Check) Run(ctx context.Context) Report {
	c.report = Report{Namespace: c.Namespace, Name: c.Name}
	c.api(ctx, c.Source)
	if !c.findPair(ctx) {
		return c.report
	}
	c.sourceRights(ctx)
	c.agents(ctx, c.Source)
	c.kinds(ctx, c.Source)
	c.policy(ctx, c.here(), c.pair.Spec.ClusterID)
	c.credential(ctx)
	if !c.open(ctx) {
		return c.report
	}
	c.api(ctx, c.target)
	c.targetRights(ctx)
	c.agents(ctx, c.target)
	c.kinds(ctx, c.target)
	c.policy(ctx, c.there(), c.Source.ID)
	if c.Route {
		c.routes(ctx)
	}
	return c.report
}

func (c *Check) add(name string, v Verdict, next, format string, args ...any) {
	c.report.Hops = append(c.report.Hops, Hop{Name: name, Verdict: v, Message: fmt.Sprintf(format, args...), Next: next})
}

// cannot says that a hop could not be looked at, or that looking failed.
func (c *Check) cannot(name string, err error) {
	if apierrors.IsForbidden(err) {
		c.add(name, Unknown, "ask an administrator, who may look at it", "you may not look at it")
		return
	}
	c.add(name, Failed, repair, "%v", err)
}

func (c *Check) api(_ context.Context, on *cluster.Cluster) {
	name := "API server of " + on.Name
	v, err := on.Discovery.ServerVersion()
	if err != nil {
		c.add(name, Failed, "see whether it runs and can be reached from here", "%v", err)
		return
	}
	c.add(name, OK, "", "Kubernetes %s at %s", v.GitVersion, on.Config.Host)
}

func (c *Check) findPair(ctx context.Context) bool {
	p, err := cluster.Get[v1alpha1.ClusterPair](ctx, c.Source, v1alpha1.ClusterPairs, c.Namespace, c.Name)
	if err != nil {
		c.cannot("pair", fmt.Errorf("clusterpair %s/%s on %s: %w", c.Namespace, c.Name, c.Source, err))
		return false
	}
	c.pair = p
	where := fmt.Sprintf("to namespace %s of cluster %s", p.Spec.TargetNamespace, p.Spec.ClusterID)
	switch end := p.Spec.ExpiryTime; {
	case end == nil:
		c.add("pair", OK, "", "%s; nothing renews its credential", where)
	case ended(end, c.Now):
		c.add("pair", Failed, repair, "%s; it ended at %s, and nothing renews its credential any more", where, stamp(end))
	default:
		c.add("pair", OK, "", "%s, until %s", where, stamp(end))
	}
	return true
}

func stamp(t *metav1.Time) string { return t.UTC().Format(time.RFC3339) }

func (c *Check) credential(ctx context.Context) {
	const name = "credential"
	secret, err := c.Source.Kube.CoreV1().Secrets(c.Namespace).Get(ctx, c.pair.Spec.SecretName, metav1.GetOptions{})
	if err != nil {
		c.cannot(name, fmt.Errorf("secret %s/%s on %s: %w", c.Namespace, c.pair.Spec.SecretName, c.Source, err))
		return
	}
	claims, err := pair.ReadClaims(string(secret.Data["token"]))
	renew := "an administrator runs: kubectl motion pair renew " + c.Name + " -n " + c.Namespace
	renewed := meta.FindStatusCondition(c.pair.Status.Conditions, v1alpha1.PairTokenRotated)
	left := claims.Expiry.Sub(c.Now).Round(time.Second)
	switch {
	case err != nil:
		c.add(name, Failed, renew, "%v", err)
	case left <= 0:
		c.add(name, Failed, renew, "it ended at %s", claims.Expiry.UTC().Format(time.RFC3339))
	case renewed != nil && renewed.Status == metav1.ConditionFalse:
		c.add(name, Failed, renew, "valid for %s, but its last renewal failed: %s", left, renewed.Message)
	default:
		c.add(name, OK, "", "valid for %s, until %s", left, claims.Expiry.UTC().Format(time.RFC3339))
	}
}

func (c *Check) open(ctx context.Context) bool {
	target, err := pair.Open(ctx, c.Source, c.Namespace, c.Name)
	if err == nil {
		c.target = target
		return true
	}
	next := repair
	if errors.Is(err, cluster.ErrUnreachable) {
		next = "see whether it runs and can be reached from here"
	}
	c.add("API server of the target", Failed, next, "%v", err)
	return false
}

func (c *Check) sourceRights(ctx context.Context) {
	missing, err := pair.LackingOnSource(ctx, c.Source.In(c.Namespace))
	c.rights("your rights on "+c.Source.Name, "ask an administrator for the role edit or admin in the namespace", missing, err)
}

func (c *Check) targetRights(ctx context.Context) {
	missing, err := pair.LackingOnTarget(ctx, c.target)
	c.rights("the credential's rights on the target", repair, missing, err)
}

func (c *Check) rights(name, next string, missing []string, err error) {
	switch {
	case err != nil:
		c.cannot(name, err)
	case len(missing) > 0:
		c.add(name, Failed, next, "missing: %s", strings.Join(missing, ", "))
	default:
		c.add(name, OK, "", "everything that a migration needs")
	}
}

func (c *Check) agents(ctx context.Context, on *cluster.Cluster) {
	name := "agents of " + on.Name
	ds, err := on.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		c.cannot(name, fmt.Errorf("daemonset %s/%s: %w", deploy.DefaultNamespace, deploy.AgentName, err))
		return
	}
	s := ds.Status
	installed := versionOf(ds)
	text := fmt.Sprintf("%d of %d ready, version %s", s.NumberAvailable, s.DesiredNumberScheduled, installed)
	switch {
	case s.DesiredNumberScheduled == 0 || s.NumberAvailable < s.DesiredNumberScheduled:
		c.add(name, Failed, "an administrator looks at: kubectl -n "+deploy.DefaultNamespace+" get pods", "%s", text)
	case s.ObservedGeneration < ds.Generation || s.UpdatedNumberScheduled < s.DesiredNumberScheduled:
		c.add(name, Failed, "wait for the rollout to end", "%s, and a rollout is in progress", text)
	case installed != c.Version:
		c.add(name, Failed, "an administrator runs: kubectl motion agent upgrade, with a plugin of the newer version; or use a plugin of version "+installed,
			"%s, and this plugin is %s", text, c.Version)
	default:
		c.add(name, OK, "", "%s", text)
	}
}

// versionOf is the version that the agents were installed as, or else the tag of
// their image.
func versionOf(ds *appsv1.DaemonSet) string {
	if v := ds.Spec.Template.Labels[deploy.VersionLabel]; v != "" {
		return v
	}
	for _, c := range ds.Spec.Template.Spec.Containers {
		if c.Name != deploy.AgentName {
			continue
		}
		if _, tag, ok := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":"); ok {
			return tag
		}
	}
	return "unknown"
}

// kinds compares the definitions of our kinds with those that this plugin brings.
func (c *Check) kinds(ctx context.Context, on *cluster.Cluster) {
	name := "API of kubectl-motion on " + on.Name
	manifests, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		c.cannot(name, err)
		return
	}
	var others []string
	for _, m := range manifests {
		if m.GetKind() != "CustomResourceDefinition" {
			continue
		}
		there, err := on.Resource(definitions, "").Get(ctx, m.GetName(), metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			c.cannot(name, fmt.Errorf("customresourcedefinition %s: %w", m.GetName(), err))
			return
		}
		if err != nil || !sameSchema(m, there) {
			others = append(others, m.GetName())
		}
	}
	if len(others) > 0 {
		c.add(name, Failed, "an administrator runs: kubectl motion agent upgrade, with a plugin of the newer version", "of another version than this plugin's: %s", strings.Join(others, ", "))
		return
	}
	c.add(name, OK, "", "as this plugin has it")
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// sameSchema says whether two definitions serve the same versions of a kind.
func sameSchema(a, b *unstructured.Unstructured) bool {
	return equality.Semantic.DeepEqual(schemas(a), schemas(b))
}

// schemas of a definition, by the name of the version.
func schemas(crd *unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		if m, ok := v.(map[string]any); ok {
			out[fmt.Sprint(m["name"])] = []any{m["served"], m["schema"]}
		}
	}
	return out
}

// policy checks that a policy of a cluster selects the namespace and names the peer.
func (c *Check) policy(ctx context.Context, n cluster.Namespace, peerID string) {
	name := "policy of " + n.Cluster.Name
	found, err := policy.List(ctx, n, peerID)
	if err != nil {
		c.cannot(name, err)
		return
	}
	texts := make([]string, 0, len(found.Policies))
	for i := range found.Policies {
		texts = append(texts, limits(&found.Policies[i]))
	}
	switch {
	case len(texts) > 0:
		c.add(name, OK, "", "%s", strings.Join(texts, "; "))
	case len(found.Unknown) > 0:
		c.add(name, Unknown, "ask an administrator, who can read the labels of namespace "+n.Name,
			"%s may select namespace %s by labels that you cannot read", strings.Join(found.Unknown, ", "), n.Name)
	default:
		c.add(name, Failed, repair, "no MotionPolicy selects namespace %s and names cluster %s", n.Name, peerID)
	}
}

// limits names a policy and what it bounds.
func limits(p *v1alpha1.MotionPolicy) string {
	out := []string{p.Name}
	if p.Spec.MaxBandwidth != nil {
		out = append(out, "at most "+p.Spec.MaxBandwidth.String()+"B/s")
	}
	if p.Spec.MaxConcurrentShipments > 0 {
		out = append(out, fmt.Sprintf("%d volumes at a time", p.Spec.MaxConcurrentShipments))
	}
	if p.Spec.SpecialFiles == v1alpha1.SpecialFilesPreserve {
		out = append(out, "special files preserved")
	}
	return strings.Join(out, ", ")
}

const (
	direct = "route between the agents"
	relay  = "route by the relay"
)

// routes tries the ways that data can take, and measures them. Where one of the two
// is not available and the other is, the check passes.
func (c *Check) routes(ctx context.Context) {
	options, err := route.Observe(ctx, c.here(), c.there())
	if err != nil {
		c.cannot(direct, err)
		return
	}
	byRelay := false
	if options.RelayProblem == "" {
		byRelay = c.byRelay(ctx)
	}
	if byRelay && options.DirectProblem != "" {
		c.add(direct, OK, "", "none, so that data goes by the relay: %s", options.DirectProblem)
		return
	}
	c.direct(ctx, byRelay)
}

// byRelay measures both halves of the way through the API servers.
func (c *Check) byRelay(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	var said []string
	for _, on := range []*cluster.Cluster{c.Source, c.target} {
		rate, err := client.MeasureRate(ctx, client.EndpointOf(on))
		switch {
		case apierrors.IsForbidden(err):
			c.cannot(relay, err)
			return false
		case err != nil:
			c.add(relay, Failed, "an administrator looks at: kubectl -n "+deploy.DefaultNamespace+" get pod "+deploy.RelayPod, "%v", err)
			return false
		case rate == 0:
			said = append(said, fmt.Sprintf("the relay of %s answers, and is measuring for another user", on))
		default:
			said = append(said, fmt.Sprintf("from here to the relay of %s %d MiB/s", on, max(rate>>20, 1)))
		}
	}
	c.add(relay, OK, "", "%s", strings.Join(said, "; "))
	return true
}

// relayTimeout bounds both measurements of the relay's way together.
const relayTimeout = 30 * time.Second

// direct lets a pod dial the target's agents.
func (c *Check) direct(ctx context.Context, byRelay bool) {
	addresses, err := c.addresses(ctx)
	if errors.Is(err, pair.ErrNoAddress) {
		c.add(direct, Unknown, "run a migration: the plan and the shipment say what they meet", "%v", err)
		return
	}
	if err != nil {
		c.cannot(direct, err)
		return
	}
	said, err := pair.Probe{Source: c.Source, Namespace: deploy.DefaultNamespace, Addresses: addresses}.Run(ctx)
	if apierrors.IsForbidden(err) {
		said, err = pair.Probe{Source: c.Source, Namespace: c.Namespace, Addresses: addresses}.Run(ctx)
	}
	text := strings.Join(strings.Split(strings.TrimSpace(said), "\n"), "; ")
	switch {
	case errors.Is(err, pair.ErrNoRoute) && byRelay:
		c.add(direct, OK, "", "none, so that data goes by the relay: %s", text)
	case errors.Is(err, pair.ErrNoRoute):
		c.add(direct, Failed, "an administrator opens these addresses for the nodes of "+c.Source.Name+", names the networks in between when pairing again, or runs: kubectl motion pair --relay", "%s", text)
	case err != nil:
		c.cannot(direct, err)
	default:
		c.add(direct, OK, "", "%s", text)
	}
}

// addresses are where the source's policies allow to dial the target's agents.
func (c *Check) addresses(ctx context.Context) ([]string, error) {
	found, err := policy.List(ctx, c.here(), c.pair.Spec.ClusterID)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for i := range found.Policies {
		p := policy.Peer(&found.Policies[i], c.pair.Spec.ClusterID)
		for _, cidr := range p.CIDRs {
			if n, err := netip.ParsePrefix(cidr); err == nil && n.IsSingleIP() {
				nodes = append(nodes, n.Addr().String())
			}
		}
		nodes = append(nodes, p.Hosts...)
	}
	slices.Sort(nodes)
	return pair.Addresses(ctx, c.target, slices.Compact(nodes))
}

// here and there are the two namespaces of the pair.
func (c *Check) here() cluster.Namespace {
	return cluster.Namespace{Cluster: c.Source, Name: c.Namespace}
}

func (c *Check) there() cluster.Namespace {
	return cluster.Namespace{Cluster: c.target, Name: c.pair.Spec.TargetNamespace}
}
