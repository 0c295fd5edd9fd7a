//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
)

// request is one call of the API: a verb of HTTP, a path, and what is sent.
type request struct{ verb, path, body string }

func (r request) String() string { return r.verb + " " + r.path }

// try makes the request with the identity of c. A watch that is not refused would
// go on for ever.
func (r request) try(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	do := c.Kube.CoreV1().RESTClient().Verb(r.verb).RequestURI(r.path)
	if r.verb == "PATCH" {
		do = do.SetHeader("Content-Type", string(types.MergePatchType))
	} else {
		do = do.SetHeader("Content-Type", "application/json")
	}
	if r.body != "" {
		do = do.Body([]byte(r.body))
	}
	return do.Do(ctx).Error()
}

// deniedByRBAC wants every request to be refused by the authorizer, which says so
// in words of its own. Admission, validation and a missing object word it
// otherwise, and would mean that the request had got further.
func deniedByRBAC(t *testing.T, c *cluster.Cluster, who string, requests ...request) {
	t.Helper()
	for _, r := range requests {
		err := r.try(t.Context(), c)
		words := fmt.Sprintf("User %q cannot ", who)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s on %s as %s: want RBAC to refuse it, got %v", r, c, who, err)
		}
	}
}

const motionAPI = "/apis/" + v1alpha1.GroupName + "/v1alpha1"

// ofNamespace are requests for what another team has in a namespace.
func ofNamespace(ns string) []request {
	in, motion, apps := "/api/v1/namespaces/"+ns, motionAPI+"/namespaces/"+ns, "/apis/apps/v1/namespaces/"+ns
	shipment := fmt.Sprintf(`{"apiVersion":"kubectl-motion.dev/v1alpha1","kind":"VolumeShipment","metadata":{"name":"mine"},
		"spec":{"role":"Send","claimName":"data","claimUID":"u","sync":0,"peer":{"clusterID":"c","namespace":%q}}}`, ns)
	migration := fmt.Sprintf(`{"apiVersion":"kubectl-motion.dev/v1alpha1","kind":"Migration","metadata":{"name":"mine"},
		"spec":{"mode":"Standby","source":{"clusterID":"c","namespace":%q},"target":{"clusterID":"d","namespace":%q}}}`, ns, ns)
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"mine","labels":{"kubectl-motion.dev/mount-pod":"true"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	return []request{
		{"GET", motion + "/volumeshipments", ""},
		{"GET", motion + "/volumeshipments/data", ""},
		{"POST", motion + "/volumeshipments", shipment},
		{"PATCH", motion + "/volumeshipments/data", `{"spec":{"sync":9}}`},
		{"PATCH", motion + "/volumeshipments/data/status", `{"status":{"nodeName":"n"}}`},
		{"DELETE", motion + "/volumeshipments/data", ""},
		{"GET", motion + "/migrations", ""},
		{"POST", motion + "/migrations", migration},
		{"PATCH", motion + "/migrations/lab-b/status", `{"status":{"stopped":[]}}`},
		{"GET", motion + "/clusterpairs/lab-b", ""},
		{"GET", in + "/secrets", ""},
		{"GET", in + "/secrets/" + pair.SecretName("lab-b"), ""},
		{"POST", in + "/secrets", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"mine"}}`},
		{"GET", in + "/pods", ""},
		{"POST", in + "/pods", pod},
		{"GET", in + "/persistentvolumeclaims", ""},
		{"PATCH", apps + "/deployments/shop", `{"spec":{"replicas":0}}`},
	}
}

// ofCluster are requests for what is the administrator's.
func ofCluster() []request {
	agents := "/api/v1/namespaces/" + deploy.DefaultNamespace
	policy := `{"apiVersion":"kubectl-motion.dev/v1alpha1","kind":"MotionPolicy","metadata":{"name":"mine"},"spec":{"namespaceSelector":{},"peers":[]}}`
	return []request{
		{"POST", motionAPI + "/motionpolicies", policy},
		{"PATCH", motionAPI + "/motionpolicies/to-lab-b", `{"spec":{"specialFiles":"Preserve"}}`},
		{"DELETE", motionAPI + "/motionpolicies/to-lab-b", ""},
		{"GET", "/api/v1/nodes", ""},
		{"GET", "/api/v1/persistentvolumes", ""},
		{"GET", "/api/v1/namespaces", ""},
		{"GET", "/api/v1/secrets", ""},
		{"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", ""},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"mine"},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}`},
		{"PATCH", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/agent-status.kubectl-motion.dev", `{}`},
		{"GET", agents + "/pods", ""},
		{"GET", agents + "/secrets", ""},
		{"POST", agents + "/serviceaccounts/" + deploy.AgentName + "/token", `{}`},
		{"POST", agents + "/pods/any/exec?command=sh&stdout=true", ""},
		{"POST", agents + "/pods/any/portforward", ""},
	}
}

func TestATeamReachesNothingOfAnotherTeamOrOfTheAdministrators(t *testing.T) {
	s := site(t, blue)
	for _, c := range []*cluster.Cluster{s.a, s.b} {
		deniedByRBAC(t, c, blue, ofNamespace(red)...)
		deniedByRBAC(t, c, blue, ofCluster()...)
		if err := (request{"GET", "/api/v1/namespaces/" + blue + "/pods", ""}).try(t.Context(), c); err != nil {
			t.Errorf("a team reads its own pods: %v", err)
		}
	}
}

// withToken is c with another identity.
func withToken(t *testing.T, c *cluster.Cluster, name, token string) *cluster.Cluster {
	t.Helper()
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token
	out, err := cluster.New(t.Context(), name, "", config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// identity is who the API server takes c for.
func identity(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	me, err := c.Kube.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return me.Status.UserInfo.Username
}

func TestTheCredentialOfAPairReachesNoMoreThanItsNamespacesApplications(t *testing.T) {
	s := site(t, blue)
	secret, err := s.a.Kube.CoreV1().Secrets(blue).Get(t.Context(), pair.SecretName("lab-b"), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := withToken(t, as(t, "lab-b"), "lab-b", string(secret.Data["token"]))
	me := identity(t, c)
	if !strings.HasPrefix(me, "system:serviceaccount:"+deploy.DefaultNamespace+":motion-from-") {
		t.Fatalf("the credential is %s", me)
	}
	account := me[strings.LastIndex(me, ":")+1:]
	in, roles := "/api/v1/namespaces/"+blue, "/apis/rbac.authorization.k8s.io/v1/namespaces/"+blue
	binding := `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"mine"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"admin"}}`
	for _, r := range []request{
		{"GET", in + "/pods", ""}, {"GET", in + "/persistentvolumeclaims", ""}, {"GET", motionAPI + "/namespaces/" + blue + "/volumeshipments", ""},
	} {
		if err := r.try(t.Context(), c); err != nil {
			t.Errorf("the credential is good for %s: %v", r, err)
		}
	}
	deniedByRBAC(t, c, me,
		request{"GET", in + "/secrets", ""},
		request{"GET", in + "/secrets?watch=true", ""},
		request{"DELETE", in + "/secrets", ""},
		request{"POST", in + "/serviceaccounts/default/token", `{}`},
		request{"POST", in + "/serviceaccounts/" + account + "/token", `{}`},
		request{"POST", in + "/serviceaccounts", `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"mine"}}`},
		request{"POST", in + "/pods/any/exec?command=sh&stdout=true", ""},
		request{"GET", in + "/pods/any/exec?command=sh&stdout=true", ""},
		request{"POST", in + "/pods/any/attach", ""},
		request{"POST", in + "/pods/any/portforward", ""},
		request{"GET", in + "/pods/any/portforward", ""},
		request{"GET", in + "/pods/any/proxy/", ""},
		request{"GET", in + "/services/any/proxy/", ""},
		request{"PATCH", in + "/pods/any/ephemeralcontainers", `{}`},
		request{"POST", roles + "/rolebindings", binding},
		request{"POST", roles + "/roles", `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"mine"},"rules":[]}`},
		request{"PATCH", motionAPI + "/namespaces/" + blue + "/volumeshipments/any/status", `{}`},
		request{"GET", motionAPI + "/namespaces/" + blue + "/clusterpairs", ""},
		request{"PATCH", "/api/v1/namespaces/" + blue, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`},
	)
	for _, ns := range []string{red, "default", "kube-system", deploy.DefaultNamespace} {
		deniedByRBAC(t, c, me, ofNamespace(ns)...)
	}
	deniedByRBAC(t, c, me, ofCluster()...)
	for _, as := range []rest.ImpersonationConfig{{UserName: blue}, {UserName: "admin", Groups: []string{"system:masters"}}, {UserName: "system:serviceaccount:" + blue + ":default"}} {
		config := rest.CopyConfig(c.Config)
		config.Impersonate = as
		if _, err := cluster.New(t.Context(), "lab-b", "", config); err != nil {
			t.Fatal(err)
		}
		other, err := cluster.New(t.Context(), "lab-b", "", config)
		if err != nil {
			t.Fatal(err)
		}
		deniedByRBAC(t, other, me, request{"GET", in + "/pods", ""})
	}
}

// agentToken mints a token of the agents' account, bound to an agent's pod or to
// nothing.
func agentToken(t *testing.T, admin *cluster.Cluster, pod *corev1.Pod) *cluster.Cluster {
	t.Helper()
	seconds := int64(600)
	spec := authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}
	if pod != nil {
		spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
	}
	token, err := admin.Kube.CoreV1().ServiceAccounts(deploy.DefaultNamespace).CreateToken(t.Context(), deploy.AgentName,
		&authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return withToken(t, admin, admin.Name, token.Status.Token)
}

// agentOn is the agent's pod of a node.
func agentOn(t *testing.T, admin *cluster.Cluster, node string) *corev1.Pod {
	t.Helper()
	pods, err := admin.Kube.CoreV1().Pods(deploy.DefaultNamespace).List(t.Context(), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=" + deploy.AgentName, FieldSelector: "spec.nodeName=" + node,
	})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d agents on node %s, error %v", len(pods.Items), node, err)
	}
	return &pods.Items[0]
}

// handMade is a shipment of a claim that does not exist: no agent will serve it.
func handMade(t *testing.T, s *shop, c *cluster.Cluster, name string) *v1alpha1.VolumeShipment {
	t.Helper()
	out, err := cluster.Create(t.Context(), c, v1alpha1.VolumeShipments, s.namespace, &v1alpha1.VolumeShipment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.VolumeShipmentSpec{
			Role: v1alpha1.RoleSend, ClaimName: "none", ClaimUID: "11111111-1111-1111-1111-111111111111", CopyMethod: v1alpha1.CopyMethodLive, Sync: 3,
			Peer: v1alpha1.ShipmentPeer{ClusterID: s.a.ID, Namespace: s.namespace, ShipmentUID: "22222222-2222-2222-2222-222222222222"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// deniedByPolicy wants admission to refuse with the message of one of our
// policies.
func deniedByPolicy(t *testing.T, err error, policy, words string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+policy+"'") || !strings.Contains(err.Error(), words) {
		t.Errorf("want policy %s to refuse with %q, got %v", policy, words, err)
	}
}

func TestAnAgentsTokenWritesTheStatusOfItsOwnNodesShipmentsAndNothingElse(t *testing.T) {
	reset(t, blue)
	s, admin := site(t, blue), as(t, "lab-b")
	// The real agents look at the shipment too, and may write in between.
	status := func(c *cluster.Cluster, node string) error {
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			now, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), admin, v1alpha1.VolumeShipments, blue, "forged")
			if err != nil {
				t.Fatal(err)
			}
			now.Status.NodeName, now.Status.VerifiedSync = node, 3
			_, err = cluster.UpdateStatus(t.Context(), c, v1alpha1.VolumeShipments, blue, now)
			return err
		})
	}
	const policy = "agent-status.kubectl-motion.dev"
	handMade(t, s, s.b, "forged")
	loose := agentToken(t, admin, nil)
	deniedByPolicy(t, status(loose, "lab-b-node-1"), policy, "has no node name")
	first, second := agentToken(t, admin, agentOn(t, admin, "lab-b-node-1")), agentToken(t, admin, agentOn(t, admin, "lab-b-node-2"))
	deniedByPolicy(t, status(first, "lab-b-node-2"), policy, "the agent of node lab-b-node-1 cannot assign a shipment to another node")
	deniedByPolicy(t, status(first, ""), policy, "an agent may only write the status of shipments assigned to its node")
	if err := status(second, "lab-b-node-2"); err != nil {
		t.Fatalf("an agent claims a shipment for its own node: %v", err)
	}
	deniedByPolicy(t, status(first, "lab-b-node-1"), policy, "the shipment is assigned to node lab-b-node-2, not to lab-b-node-1")
	deniedByPolicy(t, status(first, ""), policy, "the shipment is assigned to node lab-b-node-2, not to lab-b-node-1")

	me := "system:serviceaccount:" + deploy.DefaultNamespace + ":" + deploy.AgentName
	for _, c := range []*cluster.Cluster{loose, first} {
		in := "/api/v1/namespaces/" + blue
		deniedByRBAC(t, c, me,
			request{"POST", motionAPI + "/namespaces/" + blue + "/volumeshipments", `{}`},
			request{"PATCH", motionAPI + "/namespaces/" + blue + "/volumeshipments/forged", `{"spec":{"sync":9}}`},
			request{"PATCH", motionAPI + "/namespaces/" + blue + "/volumeshipments/forged/status", `{}`},
			request{"DELETE", motionAPI + "/namespaces/" + blue + "/volumeshipments/forged", ""},
			request{"PATCH", motionAPI + "/namespaces/" + blue + "/migrations/any/status", `{}`},
			request{"POST", motionAPI + "/motionpolicies", `{}`},
			request{"GET", in + "/secrets", ""},
			request{"GET", in + "/configmaps", ""},
			request{"POST", in + "/pods", `{}`},
			request{"DELETE", in + "/pods/any", ""},
			request{"POST", in + "/pods/any/exec?command=sh", ""},
			request{"POST", in + "/persistentvolumeclaims", `{}`},
			request{"GET", "/api/v1/nodes", ""},
			request{"PATCH", "/api/v1/persistentvolumes/any", `{}`},
			request{"POST", "/api/v1/namespaces/" + deploy.DefaultNamespace + "/serviceaccounts/" + deploy.AgentName + "/token", `{}`},
			request{"PATCH", "/apis/apps/v1/namespaces/" + deploy.DefaultNamespace + "/daemonsets/" + deploy.AgentName, `{}`},
		)
	}
}

func TestOnlyWhoMayCreatePodsMayAskForShipments(t *testing.T) {
	reset(t, blue)
	s := site(t, blue)
	core, roles := s.a.Kube.CoreV1(), s.a.Kube.RbacV1()
	const clerk = "clerk"
	gone := func() {
		ctx := context.WithoutCancel(t.Context())
		_ = core.ServiceAccounts(blue).Delete(ctx, clerk, metav1.DeleteOptions{})
		_ = roles.RoleBindings(blue).Delete(ctx, clerk, metav1.DeleteOptions{})
		_ = roles.Roles(blue).Delete(ctx, clerk, metav1.DeleteOptions{})
	}
	gone()
	t.Cleanup(gone)
	// The team itself gives an account all about shipments, and nothing about pods.
	_, err := core.ServiceAccounts(blue).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: clerk}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = roles.Roles(blue).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: clerk}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"volumeshipments"}, Verbs: []string{"get", "create", "update"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = roles.RoleBindings(blue).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: clerk},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: clerk},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: clerk, Namespace: blue}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := core.ServiceAccounts(blue).CreateToken(t.Context(), clerk, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := withToken(t, s.a, "lab-a", token.Status.Token)
	mine := handMade(t, s, s.a, "mine")
	const policy, words = "shipments.kubectl-motion.dev", "requires the right to create pods"
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error { // its agent writes the status
		now, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), s.a, v1alpha1.VolumeShipments, blue, mine.Name)
		if err != nil {
			return err
		}
		now.Spec.Sync = 4
		_, err = cluster.Update(t.Context(), c, v1alpha1.VolumeShipments, blue, now)
		return err
	})
	deniedByPolicy(t, err, policy, words)
	mine.ObjectMeta = metav1.ObjectMeta{Name: "clerks"}
	_, err = cluster.Create(t.Context(), c, v1alpha1.VolumeShipments, blue, mine)
	deniedByPolicy(t, err, policy, words)
}

func TestWhatIdentifiesAShipmentCannotBeEdited(t *testing.T) {
	reset(t, blue)
	s := site(t, blue)
	handMade(t, s, s.a, "mine")
	for _, edit := range []struct{ what, patch, rule string }{
		{"claimUID", `{"spec":{"claimUID":"33333333-3333-3333-3333-333333333333"}}`, "claimName and claimUID are immutable"},
		{"claimName", `{"spec":{"claimName":"other"}}`, "claimName and claimUID are immutable"},
		{"role", `{"spec":{"role":"Receive"}}`, "role, claimName and claimUID are immutable"},
		{"the peer's cluster", `{"spec":{"peer":{"clusterID":"other"}}}`, "clusterID and namespace are immutable"},
		{"the peer's namespace", `{"spec":{"peer":{"namespace":"` + red + `"}}}`, "clusterID and namespace are immutable"},
		{"the peer's shipment", `{"spec":{"peer":{"shipmentUID":"44444444-4444-4444-4444-444444444444"}}}`, "shipmentUID is immutable once set"},
		{"that the peer's shipment is known", `{"spec":{"peer":{"shipmentUID":null}}}`, "shipmentUID is immutable once set"},
		{"sync, downwards", `{"spec":{"sync":2}}`, "sync must not decrease"},
		{"copy method, of the same sync", `{"spec":{"copyMethod":"Stopped"}}`, "copyMethod may only change together with sync"},
		{"the peer's key, to none", `{"spec":{"peer":{"keySHA256":"not a hash"}}}`, "should match"},
	} {
		err := request{"PATCH", motionAPI + "/namespaces/" + blue + "/volumeshipments/mine", edit.patch}.try(t.Context(), s.a)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), edit.rule) {
			t.Errorf("%s: want the CRD to refuse it with %q, got %v", edit.what, edit.rule, err)
		}
	}
	// Status is the agents': through its own path RBAC refuses, through the object's
	// it is dropped.
	deniedByRBAC(t, s.a, blue, request{"PATCH", motionAPI + "/namespaces/" + blue + "/volumeshipments/mine/status", `{"status":{"verifiedSync":3}}`})
	err := request{"PATCH", motionAPI + "/namespaces/" + blue + "/volumeshipments/mine", `{"spec":{"sync":4,"copyMethod":"Stopped"},"status":{"verifiedSync":4}}`}.try(t.Context(), s.a)
	if err != nil {
		t.Errorf("the next generation is asked for, with another view: %v", err)
	}
	now := s.shipment(t, s.a)
	if now.Spec.Sync != 4 || now.Status.VerifiedSync != 0 || now.Spec.ClaimName != "none" {
		t.Errorf("the shipment is now %+v", now)
	}
	// The destination of a pair is the administrator's.
	deniedByRBAC(t, s.a, blue,
		request{"PATCH", motionAPI + "/namespaces/" + blue + "/clusterpairs/lab-b", `{"spec":{"targetNamespace":"` + red + `"}}`},
		request{"DELETE", motionAPI + "/namespaces/" + blue + "/clusterpairs/lab-b", ""})
	err = request{"PATCH", motionAPI + "/namespaces/" + blue + "/clusterpairs/lab-b", `{"spec":{"clusterID":"other"}}`}.try(t.Context(), as(t, "lab-a"))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "clusterID is immutable") {
		t.Errorf("even an administrator cannot point a pair at another cluster: %v", err)
	}
}
