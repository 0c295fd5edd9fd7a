// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// object is one object to be removed.
type object struct {
	on              *cluster.Cluster
	gvr             gvrType
	kind            string
	namespace, name string
	uid             types.UID
}

func (o object) String() string {
	s := o.kind
	if o.gvr.Group != "" {
		s += "." + o.gvr.Group
	}
	s += "/" + o.name
	if o.namespace != "" {
		s += " in " + o.namespace
	}
	return s
}

// delete deletes the object with what it owns. An object that was recreated
// meanwhile is not deleted.
func (o object) delete(ctx context.Context) error {
	opts := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}
	if o.uid != "" {
		opts.Preconditions = &metav1.Preconditions{UID: &o.uid}
	}
	return o.on.Resource(o.gvr, o.namespace).Delete(ctx, o.name, opts)
}

var (
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	roles           = rbacv1.SchemeGroupVersion.WithResource("roles")
	roleBindings    = rbacv1.SchemeGroupVersion.WithResource("rolebindings")
	cronJobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
)

// rotatorObjects are a token rotator's, on both clusters; target may be nil.
func rotatorObjects(source, target *cluster.Cluster, m Mapping, name string) []object {
	out := []object{
		{on: source, gvr: cronJobs, kind: "cronjob", namespace: deploy.DefaultNamespace, name: name},
		{on: source, gvr: secrets, kind: "secret", namespace: deploy.DefaultNamespace, name: name},
		{on: source, gvr: roleBindings, kind: "rolebinding", namespace: m.Source, name: name},
		{on: source, gvr: roles, kind: "role", namespace: m.Source, name: name},
		{on: source, gvr: serviceAccounts, kind: "serviceaccount", namespace: deploy.DefaultNamespace, name: name},
	}
	if target == nil {
		return out
	}
	return append(out,
		object{on: target, gvr: roleBindings, kind: "rolebinding", namespace: deploy.DefaultNamespace, name: name},
		object{on: target, gvr: roles, kind: "role", namespace: deploy.DefaultNamespace, name: name},
		object{on: target, gvr: serviceAccounts, kind: "serviceaccount", namespace: deploy.DefaultNamespace, name: name})
}

// accountObjects are the credential's account on the target and its bindings. The
// account is the first: all tokens of it end with it.
func accountObjects(target *cluster.Cluster, m Mapping, account string) []object {
	out := []object{{on: target, gvr: serviceAccounts, kind: "serviceaccount", namespace: deploy.DefaultNamespace, name: account}}
	for _, name := range []string{account, UseName(account), ExpiryName(account)} {
		out = append(out, object{on: target, gvr: roleBindings, kind: "rolebinding", namespace: m.Target, name: name})
	}
	for _, name := range []string{UseName(account), ExpiryName(account)} {
		out = append(out, object{on: target, gvr: roles, kind: "role", namespace: m.Target, name: name})
	}
	return out
}

// pairObjects are all objects of one pair, in the order in which they are deleted.
// The ClusterPair is the last: while it is there, unpair can be repeated. target may
// be nil.
func pairObjects(source, target *cluster.Cluster, m Mapping, name string) []object {
	onSource, onTarget := PolicyNames(source.ID, m, name)
	out := append(rotatorObjects(source, target, m, RotatorName(source.ID, m.Source, name)),
		object{on: source, gvr: v1alpha1.MotionPolicies, kind: "motionpolicy", name: onSource},
		object{on: source, gvr: secrets, kind: "secret", namespace: m.Source, name: SecretName(name)})
	if target != nil {
		out = append(out, accountObjects(target, m, AccountName(source.ID, m, name))...)
		out = append(out,
			object{on: target, gvr: v1alpha1.MotionPolicies, kind: "motionpolicy", name: onTarget},
			object{on: target, gvr: roleBindings, kind: "rolebinding", namespace: deploy.DefaultNamespace, name: RelayBindingName(source.ID, m.Source, name)})
	}
	return append(out, object{on: source, gvr: v1alpha1.ClusterPairs, kind: "clusterpair", namespace: m.Source, name: name})
}

// Removal removes a pair.
type Removal struct {
	// Source has the pair. Target is nil when the target is gone for good.
	Source, Target *cluster.Cluster
	Namespace      string
	Name           string
	// Purge also removes what all pairs share, from a cluster that no other pair
	// uses, and the target namespace if pairing made it and nothing is in it.
	Purge   bool
	Sink    progress.Sink
	Confirm func(question string) error

	pair    *v1alpha1.ClusterPair
	objects []object
	notes   []string
}

// Plan finds the objects to remove, and removes nothing.
func (r *Removal) Plan(ctx context.Context) (text string, err error) {
	m, err := r.mapping(ctx)
	if err != nil {
		return "", err
	}
	if err := r.planPair(ctx, m); err != nil {
		return "", err
	}
	if r.pair == nil && len(r.objects) == 0 && !r.Purge {
		return "", missingPair(ctx, r.Source, r.Namespace, r.Name, errNoPair)
	}
	if r.Purge {
		if err := r.planPurge(ctx); err != nil {
			return "", err
		}
	}
	return r.text(), nil
}

// mapping finds the pair. Without one there may still be objects of a pairing that
// failed before it wrote the ClusterPair: those of a pair to Target's namespace.
func (r *Removal) mapping(ctx context.Context) (Mapping, error) {
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, r.Source, v1alpha1.ClusterPairs, r.Namespace, r.Name)
	switch {
	case apierrors.IsNotFound(err) && r.Target == nil && !r.Purge:
		return Mapping{}, missingPair(ctx, r.Source, r.Namespace, r.Name, err)
	case apierrors.IsNotFound(err) && r.Target == nil:
		return Mapping{Source: r.Namespace, Target: r.Namespace}, nil
	case apierrors.IsNotFound(err):
		return Mapping{Source: r.Namespace, Target: r.Target.Namespace}, nil
	case err != nil:
		return Mapping{}, fmt.Errorf("clusterpair %s/%s on %s: %w", r.Namespace, r.Name, r.Source, err)
	case r.Target != nil && r.Target.ID != pair.Spec.ClusterID:
		return Mapping{}, fmt.Errorf("clusterpair %s/%s is for cluster %s, and %s is cluster %q: check --to-context",
			r.Namespace, r.Name, pair.Spec.ClusterID, r.Target, r.Target.ID)
	}
	r.pair = pair
	return Mapping{Source: r.Namespace, Target: pair.Spec.TargetNamespace}, nil
}

func (r *Removal) planPair(ctx context.Context, m Mapping) error {
	if r.Target == nil {
		r.notes = append(r.notes, fmt.Sprintf("objects of the pair on the target (cluster %s) are not removed: its credential expires at %s", r.pair.Spec.ClusterID, r.credentialEnd()))
	}
	return r.keepExisting(ctx, pairObjects(r.Source, r.Target, m, r.Name))
}

func (r *Removal) credentialEnd() string {
	if end := r.pair.Status.CredentialExpiryTime; end != nil {
		return end.UTC().Format("2006-01-02T15:04:05Z")
	}
	return "an unknown time"
}

// keepExisting adds those of objects that exist.
func (r *Removal) keepExisting(ctx context.Context, objects []object) error {
	for _, o := range objects {
		u, err := o.on.Resource(o.gvr, o.namespace).Get(ctx, o.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s on %s: %w", o, o.on, err)
		}
		o.uid = u.GetUID()
		r.objects = append(r.objects, o)
	}
	return nil
}

// planPurge adds the installation of each cluster that nothing else uses.
func (r *Removal) planPurge(ctx context.Context) error {
	for _, c := range []*cluster.Cluster{r.Source, r.Target} {
		if c == nil {
			continue
		}
		users, err := r.otherUsers(ctx, c)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			r.notes = append(r.notes, fmt.Sprintf("the agents and the API stay on %s, which is used by: %s", c, strings.Join(users, ", ")))
			continue
		}
		installed, err := installedOn(ctx, c)
		if err != nil {
			return err
		}
		if err := r.countLost(ctx, c); err != nil {
			return err
		}
		if err := r.keepExisting(ctx, installed); err != nil {
			return err
		}
	}
	return r.planNamespace(ctx)
}

// otherUsers are the pairs that start or end at a cluster, besides the one that
// goes.
func (r *Removal) otherUsers(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	var out []string
	pairs, err := cluster.List[v1alpha1.ClusterPair](ctx, c, v1alpha1.ClusterPairs, "", metav1.ListOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("clusterpairs on %s: %w", c, err)
	}
	for i := range pairs {
		if c != r.Source || pairs[i].Namespace != r.Namespace || pairs[i].Name != r.Name {
			out = append(out, "pair "+pairs[i].Namespace+"/"+pairs[i].Name)
		}
	}
	bindings, err := c.Kube.RbacV1().RoleBindings("").List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy + "=" + v1alpha1.ManagedByValue})
	if err != nil {
		return nil, fmt.Errorf("rolebindings on %s: %w", c, err)
	}
	for i := range bindings.Items {
		b := &bindings.Items[i]
		gone := slices.ContainsFunc(r.objects, func(o object) bool { return o.on == c && o.uid == b.UID })
		if b.RoleRef.Name == MigratorRole && !gone {
			out = append(out, "a pair of another cluster to namespace "+b.Namespace)
		}
	}
	return out, nil
}

// countLost adds a note about the objects that are deleted with the API.
func (r *Removal) countLost(ctx context.Context, c *cluster.Cluster) error {
	for _, gvr := range []gvrType{v1alpha1.Migrations, v1alpha1.VolumeShipments, v1alpha1.MotionPolicies} {
		list, err := c.Resource(gvr, "").List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s on %s: %w", gvr.Resource, c, err)
		}
		left := slices.DeleteFunc(list.Items, func(u unstructured.Unstructured) bool {
			return slices.ContainsFunc(r.objects, func(o object) bool { return o.on == c && o.uid == u.GetUID() })
		})
		if len(left) > 0 {
			r.notes = append(r.notes, fmt.Sprintf("%d %s on %s are deleted with the API", len(left), gvr.Resource, c))
		}
	}
	return nil
}

// installedOn is what pairing installs on a cluster, the last first.
func installedOn(ctx context.Context, c *cluster.Cluster) ([]object, error) {
	manifests, err := deploy.Manifests(deploy.Options{Relay: true})
	if err != nil {
		return nil, err
	}
	var out []object
	for _, m := range slices.Backward(manifests) {
		gvr, namespaced, err := c.ResourceFor(m.GroupVersionKind())
		if err != nil {
			return nil, err
		}
		o := object{on: c, gvr: gvr, kind: strings.ToLower(m.GetKind()), name: m.GetName()}
		if namespaced {
			o.namespace = m.GetNamespace()
		}
		out = append(out, o)
	}
	return out, ctx.Err()
}

// planNamespace adds the target's namespace, if pairing made it and only what
// every namespace has is in it.
func (r *Removal) planNamespace(ctx context.Context) error {
	if r.Target == nil || r.pair == nil {
		return nil
	}
	name := r.pair.Spec.TargetNamespace
	ns, err := r.Target.Resource(namespaces, "").Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("namespace %s on %s: %w", name, r.Target, err)
	}
	if ns.GetAnnotations()[v1alpha1.AnnotationCreatedBy] == "" {
		return nil
	}
	holds, err := r.contents(ctx, name)
	if err != nil {
		return err
	}
	if len(holds) > 0 {
		r.notes = append(r.notes, fmt.Sprintf("namespace/%s stays on %s, as it holds: %s", name, r.Target, strings.Join(holds, ", ")))
		return nil
	}
	r.objects = append(r.objects, object{on: r.Target, gvr: namespaces, kind: "namespace", name: name, uid: ns.GetUID()})
	return nil
}

// contents is what a namespace holds besides what goes and what every namespace
// has.
func (r *Removal) contents(ctx context.Context, namespace string) ([]string, error) {
	lists, err := r.Target.Discovery.ServerPreferredNamespacedResources()
	if err != nil {
		return nil, fmt.Errorf("kinds of %s: %w", r.Target, err)
	}
	var out []string
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, kind := range l.APIResources {
			if !slices.Contains(kind.Verbs, "list") || !slices.Contains(kind.Verbs, "create") || kind.Name == "events" {
				continue
			}
			list, err := r.Target.Resource(gv.WithResource(kind.Name), namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("%s of namespace %s on %s: %w", kind.Name, namespace, r.Target, err)
			}
			for i := range list.Items {
				if !r.staysBehind(&list.Items[i], kind.Kind) {
					out = append(out, strings.ToLower(kind.Kind)+"/"+list.Items[i].GetName())
				}
			}
		}
	}
	if len(out) > 5 {
		out = append(out[:5:5], fmt.Sprintf("and %d more", len(out)-5))
	}
	return out, nil
}

func (r *Removal) staysBehind(u *unstructured.Unstructured, kind string) bool {
	switch {
	case kind == "ConfigMap" && u.GetName() == "kube-root-ca.crt", kind == "ServiceAccount" && u.GetName() == "default":
		return true
	}
	return slices.ContainsFunc(r.objects, func(o object) bool { return o.uid == u.GetUID() })
}

func (r *Removal) text() string {
	var b strings.Builder
	for _, c := range []*cluster.Cluster{r.Source, r.Target} {
		if c == nil {
			continue
		}
		fmt.Fprintf(&b, "On %s:\n", c)
		for _, o := range r.objects {
			if o.on == c {
				fmt.Fprintf(&b, "  %s is deleted\n", o)
			}
		}
	}
	for _, n := range r.notes {
		b.WriteString(n + "\n")
	}
	return b.String()
}

// Run removes the pair. It may be repeated.
func (r *Removal) Run(ctx context.Context) error {
	text, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if err := r.Confirm(text + "Continue?"); err != nil {
		return err
	}
	var errs []error
	for _, o := range r.objects {
		if err := o.delete(ctx); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("%s on %s: %w", o, o.on, err))
			continue
		}
		progress.Objectf(r.Sink, "%s deleted", o)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, n := range r.notes {
		progress.Notef(r.Sink, "%s", n)
	}
	return r.awaitGone(ctx)
}

// awaitGone waits until what was deleted is no longer there: pods end, and
// namespaces and definitions are emptied first.
func (r *Removal) awaitGone(ctx context.Context) error {
	for _, o := range r.objects {
		err := wait.PollUntilContextCancel(ctx, agentPoll, true, func(ctx context.Context) (bool, error) {
			u, err := o.on.Resource(o.gvr, o.namespace).Get(ctx, o.name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return err == nil && u.GetUID() != o.uid, err
		})
		if err != nil {
			return fmt.Errorf("%s on %s was deleted and still exists: %w", o, o.on, err)
		}
	}
	return nil
}
