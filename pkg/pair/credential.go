// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

type gvrType = schema.GroupVersionResource

// moverRole is the ClusterRole of the credential. It is our own and not edit,
// because edit includes impersonating ServiceAccounts, minting their tokens and
// exec.
const moverRole = "kubectl-motion:mover"

// Keys of the pair's Secret.
const (
	keyServer    = "server"
	keyCA        = "ca.crt"
	keyToken     = "token"
	keyNamespace = "namespace"
)

// SecretName is the Secret of a pair.
func SecretName(pair string) string { return "motion-pair-" + pair }

// accountName is the ServiceAccount on the target for one source namespace, so
// that two namespaces that migrate to the same place have credentials of their own.
func accountName(sourceID, sourceNamespace string) string {
	sum := sha256.Sum256([]byte(sourceID + "\x00" + sourceNamespace))
	return "motion-from-" + hex.EncodeToString(sum[:4])
}

const podSecurityPrefix = "pod-security.kubernetes.io/"

// prepareNamespace makes the target namespace, with the Pod Security labels of
// the source's, and shows whom the credential could act as there.
func (p *Pairing) prepareNamespace(ctx context.Context) error {
	name := p.Request.TargetNamespace
	_, err := p.Target.Kube.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return p.createNamespace(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("namespace %s on %s: %w", name, p.Target, err)
	}
	bound, err := p.boundAccounts(ctx)
	if err != nil || len(bound) == 0 {
		return err
	}
	return p.Confirm(fmt.Sprintf("Whoever may create pods in namespace %s on %s can run them as its ServiceAccounts, and these have rights:\n  %s\n"+
		"The pair's credential may create pods there. Continue?", name, p.Target, strings.Join(bound, "\n  ")))
}

func (p *Pairing) createNamespace(ctx context.Context, name string) error {
	source, err := p.Source.Kube.CoreV1().Namespaces().Get(ctx, p.Request.SourceNamespace, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("namespace %s on %s: %w", p.Request.SourceNamespace, p.Source, err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for k, v := range source.Labels {
		if strings.HasPrefix(k, podSecurityPrefix) {
			ns.Labels[k] = v
		}
	}
	if _, err := p.Target.Kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager}); err != nil {
		return fmt.Errorf("namespace %s on %s: %w", name, p.Target, err)
	}
	progress.Objectf(p.Sink, "namespaces/%s created", name)
	return nil
}

// boundAccounts lists the ServiceAccounts of the target namespace that any
// binding names, with the roles they have.
func (p *Pairing) boundAccounts(ctx context.Context) ([]string, error) {
	ns := p.Request.TargetNamespace
	roles, err := p.Target.Kube.RbacV1().RoleBindings(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("rolebindings in %s on %s: %w", ns, p.Target, err)
	}
	clusterRoles, err := p.Target.Kube.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("clusterrolebindings on %s: %w", p.Target, err)
	}
	var out []string
	for i := range roles.Items {
		out = append(out, accounts(ns, roles.Items[i].Subjects, ns, roles.Items[i].RoleRef)...)
	}
	for i := range clusterRoles.Items {
		out = append(out, accounts(ns, clusterRoles.Items[i].Subjects, "", clusterRoles.Items[i].RoleRef)...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func accounts(namespace string, subjects []rbacv1.Subject, bindingNamespace string, role rbacv1.RoleRef) []string {
	if role.Name == moverRole {
		return nil
	}
	var out []string
	for _, s := range subjects {
		in := s.Namespace
		if in == "" {
			in = bindingNamespace
		}
		switch {
		case s.Kind == rbacv1.ServiceAccountKind && in == namespace:
			out = append(out, fmt.Sprintf("%s: %s %s", s.Name, role.Kind, role.Name))
		case s.Kind == rbacv1.GroupKind && s.Name == "system:serviceaccounts:"+namespace:
			out = append(out, fmt.Sprintf("all: %s %s", role.Kind, role.Name))
		}
	}
	return out
}

// grant makes the account on the target and the Secret and ClusterPair on the source.
func (p *Pairing) grant(ctx context.Context) error {
	account := accountName(p.Source.ID, p.Request.SourceNamespace)
	ns := p.Request.TargetNamespace
	objects := []runtime.Object{
		&corev1.ServiceAccount{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: ours(account, ns),
			AutomountServiceAccountToken: new(bool),
		},
		&rbacv1.RoleBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: ours(account, ns),
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: moverRole},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: ns}},
		},
	}
	for _, o := range objects {
		if err := p.putTyped(ctx, p.Target, o); err != nil {
			return err
		}
	}
	if p.serves(ctx, account) {
		progress.Objectf(p.Sink, "secrets/%s unchanged", SecretName(p.Request.Name))
		progress.Objectf(p.Sink, "clusterpairs.%s/%s unchanged", v1alpha1.GroupName, p.Request.Name)
		return nil
	}
	seconds := int64(p.Request.CredentialTTL / time.Second)
	token, err := p.Target.Kube.CoreV1().ServiceAccounts(ns).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("a token of serviceaccount %s/%s on %s: %w", ns, account, p.Target, err)
	}
	return p.store(ctx, token.Status)
}

// serves says whether the credential of an earlier run can stay: it leads to the
// same place, the target accepts it as account's, and of the lifetime that is asked
// for, half is still to come and not more than all of it. Users of the namespace
// can write the Secret: nobody is contacted because it says so.
func (p *Pairing) serves(ctx context.Context, account string) bool {
	want, err := p.secretData()
	if err != nil {
		return false
	}
	ns, name := p.Request.SourceNamespace, p.Request.Name
	secret, err := p.Source.Kube.CoreV1().Secrets(ns).Get(ctx, SecretName(name), metav1.GetOptions{})
	if err != nil {
		return false
	}
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, p.Source, v1alpha1.ClusterPairs, ns, name)
	if err != nil || pair.Spec != p.pairSpec() {
		return false
	}
	token := string(secret.Data[keyToken])
	want[keyToken] = secret.Data[keyToken]
	subject, expiry, err := claimsOf(token)
	if err != nil || !maps.EqualFunc(want, secret.Data, bytes.Equal) ||
		subject != "system:serviceaccount:"+p.Request.TargetNamespace+":"+account {
		return false
	}
	if left := time.Until(expiry); left <= p.Request.CredentialTTL/2 || left > p.Request.CredentialTTL {
		return false
	}
	target, err := cluster.New(ctx, name, p.Request.TargetNamespace, &rest.Config{
		Host: p.Target.Config.Host, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: want[keyCA]},
	})
	return err == nil && target.ID == p.Target.ID
}

// secretData is what the pair's Secret holds besides the token.
func (p *Pairing) secretData() (map[string][]byte, error) {
	ca := p.Target.Config.CAData
	if len(ca) == 0 && p.Target.Config.CAFile != "" {
		var err error
		if ca, err = os.ReadFile(p.Target.Config.CAFile); err != nil {
			return nil, fmt.Errorf("the CA certificate of %s: %w", p.Target, err)
		}
	}
	return map[string][]byte{
		keyServer: []byte(p.Target.Config.Host), keyCA: ca, keyNamespace: []byte(p.Request.TargetNamespace),
	}, nil
}

func (p *Pairing) pairSpec() v1alpha1.ClusterPairSpec {
	return v1alpha1.ClusterPairSpec{
		ClusterID: p.Target.ID, TargetNamespace: p.Request.TargetNamespace, SecretName: SecretName(p.Request.Name),
	}
}

// claimsOf reads what a token says of itself. Whether that is true the API server
// that accepted it knows.
func claimsOf(token string) (subject string, expiry time.Time, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", time.Time{}, errors.New("the credential is no JSON web token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", time.Time{}, err
	}
	var claims struct {
		Subject string `json:"sub"`
		Expiry  int64  `json:"exp"`
	}
	err = json.Unmarshal(raw, &claims)
	return claims.Subject, time.Unix(claims.Expiry, 0), err
}

func (p *Pairing) store(ctx context.Context, token authenticationv1.TokenRequestStatus) error {
	data, err := p.secretData()
	if err != nil {
		return err
	}
	data[keyToken] = []byte(token.Token)
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: ours(SecretName(p.Request.Name), p.Request.SourceNamespace), Data: data,
	}
	if err := p.putTyped(ctx, p.Source, secret); err != nil {
		return err
	}
	return p.storePair(ctx, token.ExpirationTimestamp)
}

func (p *Pairing) storePair(ctx context.Context, expiry metav1.Time) error {
	ns, name := p.Request.SourceNamespace, p.Request.Name
	pair, err := cluster.Get[v1alpha1.ClusterPair](ctx, p.Source, v1alpha1.ClusterPairs, ns, name)
	spec := p.pairSpec()
	switch {
	case apierrors.IsNotFound(err):
		pair, err = cluster.Create(ctx, p.Source, v1alpha1.ClusterPairs, ns, &v1alpha1.ClusterPair{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ClusterPair"},
			ObjectMeta: ours(name, ns), Spec: spec,
		})
		progress.Objectf(p.Sink, "clusterpairs.%s/%s created", v1alpha1.GroupName, name)
	case err == nil && pair.Spec.ClusterID != spec.ClusterID:
		return fmt.Errorf("clusterpair %s/%s points at another cluster (%s): delete it or choose another name", ns, name, pair.Spec.ClusterID)
	case err == nil:
		pair.Spec = spec
		pair, err = cluster.Update(ctx, p.Source, v1alpha1.ClusterPairs, ns, pair)
		progress.Objectf(p.Sink, "clusterpairs.%s/%s configured", v1alpha1.GroupName, name)
	}
	if err != nil {
		return fmt.Errorf("clusterpair %s/%s on %s: %w", ns, name, p.Source, err)
	}
	pair.Status.Server, pair.Status.CredentialExpiryTime = p.Target.Config.Host, &expiry
	pair.Status.ObservedGeneration = pair.Generation
	if _, err := cluster.UpdateStatus(ctx, p.Source, v1alpha1.ClusterPairs, ns, pair); err != nil {
		return fmt.Errorf("status of clusterpair %s/%s on %s: %w", ns, name, p.Source, err)
	}
	progress.Notef(p.Sink, "the credential ends at %s", expiry.UTC().Format(time.RFC3339))
	return nil
}

func ours(name, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue}}
}

func (p *Pairing) putTyped(ctx context.Context, c *cluster.Cluster, o runtime.Object) error {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: m}
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return p.put(ctx, c, u)
}

var errNoPair = errors.New("no such pair")
