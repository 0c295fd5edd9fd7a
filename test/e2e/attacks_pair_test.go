//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
)

// rogue is an API server of a user's own, which remembers what it is sent.
type rogue struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	// tokens are the Authorization headers, people whoever showed a certificate.
	tokens, people map[string]bool
}

func newRogue(t *testing.T) *rogue {
	t.Helper()
	r := &rogue{tokens: map[string]bool{}, people: map[string]bool{}}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests++
		r.tokens[q.Header.Get("Authorization")] = true
		for _, c := range q.TLS.PeerCertificates {
			r.people[c.Subject.CommonName] = true
		}
		for k := range q.Header {
			if strings.HasPrefix(k, "Impersonate-") {
				r.people[k] = true
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&corev1.Namespace{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "11111111-1111-1111-1111-111111111111"},
		})
	}))
	// Asked for, so that whoever would show one does.
	r.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (r *rogue) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
}

// Layers: the plugin follows a pair to the server that it was made for; and whatever
// server it is, only the pair's own token goes there.
func TestAPairThatLeadsToAServerOfTheUsersOwnGetsNobodysCredentials(t *testing.T) {
	s := site(t, blue)
	r := newRogue(t)
	token := "Bearer " + string(secretOf(t, blue, pair.SecretName("lab-b"))["token"])
	// The user may write this Secret, and has the server's CA, too.
	change, err := json.Marshal(map[string]any{"stringData": map[string]string{"server": r.URL, "ca.crt": r.ca()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.a.Kube.CoreV1().Secrets(blue).Patch(t.Context(), pair.SecretName("lab-b"), types.MergePatchType, change, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	mend := func() {
		must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes")
	}
	runs := [][]string{
		{"--context", "lab-a-" + blue, "-n", blue},
		{"--context", "lab-a", "-n", blue},
		{"--context", "lab-a", "-n", blue, "--as", "someone", "--as-group", "system:masters"},
	}
	for _, who := range runs {
		for _, verb := range []string{"migrate", "plan", "activate"} {
			refused(t, 1, []string{"its server is not that of the pair's spec", "nothing was contacted"}, append([]string{verb, "--to", "lab-b"}, who...)...)
		}
	}
	if r.requests != 0 {
		t.Errorf("the server got %d requests", r.requests)
	}
	// Without that layer, were the user able to write the pair's spec, too.
	deniedByRBAC(t, s.a, blue, request{"PATCH", motionAPI + "/namespaces/" + blue + "/clusterpairs/lab-b", `{"spec":{"server":"` + r.URL + `","caBundle":"` + base64.StdEncoding.EncodeToString([]byte(r.ca())) + `"}}`})
	if err := (request{"PATCH", motionAPI + "/namespaces/" + blue + "/clusterpairs/lab-b", `{"spec":{"server":"` + r.URL + `","caBundle":"` + base64.StdEncoding.EncodeToString([]byte(r.ca())) + `"}}`}).try(t.Context(), as(t, "lab-a")); err != nil {
		t.Fatal(err)
	}
	for _, who := range runs {
		refused(t, 1, []string{"is for cluster " + s.b.ID, "nothing was sent to it but the pair's token"}, append([]string{"migrate", "--to", "lab-b"}, who...)...)
	}
	if r.requests == 0 || len(r.tokens) != 1 || !r.tokens[token] {
		t.Errorf("%d requests with %d credentials besides the pair's", r.requests, len(r.tokens))
	}
	if len(r.people) > 0 {
		t.Errorf("somebody proved their own identity there: %v", r.people)
	}
	mend()
	must(t, "plan", "--context", "lab-a-"+blue, "-n", blue, "--to", "lab-b")
}

// withExecPlugin is a kubeconfig in which a program proves who the user of a context
// is, with what it proves it with.
func withExecPlugin(t *testing.T, contexts ...string) (file string, secrets []string) {
	t.Helper()
	loaded, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range contexts {
		user := loaded.AuthInfos[loaded.Contexts[name].AuthInfo]
		key, cert := user.ClientKeyData, user.ClientCertificateData
		if len(key) == 0 {
			key, cert = fileOf(t, user.ClientKey), fileOf(t, user.ClientCertificate)
		}
		credential, err := json.Marshal(map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
			"status": map[string]string{"clientKeyData": string(key), "clientCertificateData": string(cert)},
		})
		if err != nil {
			t.Fatal(err)
		}
		answer := filepath.Join(folder, name+".json")
		if err := os.WriteFile(answer, credential, 0o600); err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(key)
		secrets = append(secrets, base64.StdEncoding.EncodeToString(block.Bytes)[:60], string(key)[40:100])
		loaded.AuthInfos[name+"-exec"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "cat", Args: []string{answer}, InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		}}
		loaded.Contexts[name].AuthInfo = name + "-exec"
	}
	file = filepath.Join(folder, "kubeconfig")
	if err := clientcmd.WriteToFile(*loaded, file); err != nil {
		t.Fatal(err)
	}
	return file, secrets
}

func fileOf(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// everything is where a credential must not be: all objects of both clusters but
// the Secrets that are there to hold one, what agents and renewers say, and the
// command lines of this machine, on which all of the lab's processes run.
func everything(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"lab-a", "lab-b"} {
		c := as(t, name)
		for k, v := range dump(t, c) {
			if !strings.Contains(k, " secrets ") || !(strings.Contains(k, "/motion-pair-") || strings.Contains(k, "/motion-rotate-")) {
				out[k] = v
			}
		}
		events, err := c.Kube.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range events.Items {
			out[fmt.Sprintf("%s event %d", name, i)] = events.Items[i].Reason + " " + events.Items[i].Message
		}
		// Conditions and messages, which dump leaves out.
		for _, gvr := range []string{"clusterpairs", "migrations", "volumeshipments"} {
			list, err := c.Resource(v1alpha1.SchemeGroupVersion.WithResource(gvr), "").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			text, err := list.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			out[name+" status of "+gvr] = string(text)
		}
		logs(t, c, out)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if text, err := os.ReadFile(l); err == nil {
			out[l] = string(text)
		}
	}
	for line := range strings.Lines(motionLab(t, "status")) {
		f := strings.Fields(line)
		if len(f) > 0 && strings.Contains(f[0], "/") {
			if text, err := exec.CommandContext(t.Context(), lab, "logs", f[0]).Output(); err == nil {
				out["log of "+f[0]] = string(text)
			}
		}
	}
	return out
}

func logs(t *testing.T, c *cluster.Cluster, out map[string]string) {
	t.Helper()
	pods, err := c.Kube.CoreV1().Pods(deploy.DefaultNamespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		text, err := c.Kube.CoreV1().Pods(deploy.DefaultNamespace).GetLogs(pods.Items[i].Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
		if err == nil {
			out[c.Name+" log of "+pods.Items[i].Name] = string(text)
		}
	}
}

// Promise 1 and "never in a spec, log, event, error or command line".
func TestNoCredentialIsAnywhereButInTheSecretsThatHoldIt(t *testing.T) {
	opened(t, blue, "lab-local")
	said := []run{must(t, "pair", "renew", "lab-b", "--context", "lab-a", "-n", blue)}
	// The user's own identity, proved by a program; and errors, which quote a lot.
	file, people := withExecPlugin(t, "lab-a-"+blue, "lab-b-"+blue)
	for _, more := range [][]string{
		{"plan", "--to-context", "lab-b-" + blue, "-o", "yaml"},
		{"plan", "--to", "lab-b", "-o", "yaml"},
		{"pair", "check", "lab-b"},
		{"report", "nowhere"},
		{"migrate", "--to", "nowhere"},
		{"migrate", "--to", "lab-b", "--progress", "json"},
	} {
		said = append(said, motion(t, append(more, "--kubeconfig", file, "--context", "lab-a-"+blue, "-n", blue)...))
	}
	if last := said[len(said)-1]; last.code != 0 {
		t.Errorf("a migration with an exec plugin: %s", last)
	}
	said = append(said, motion(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--export", "-"))

	admin := as(t, "lab-a")
	needles := map[string]string{}
	for which, data := range map[string]map[string][]byte{
		"the pair's token":          secretOf(t, blue, pair.SecretName("lab-b")),
		"the token rotator's token": secretOf(t, deploy.DefaultNamespace, pair.RotatorName(admin.ID, blue, "lab-b")),
	} {
		token := string(data["token"])
		// The signature alone is enough to know it by, also in base64.
		needles[which] = token[strings.LastIndex(token, ".")+1:]
		needles[which+" in base64"] = base64.StdEncoding.EncodeToString([]byte(token))[30:90]
	}
	for i, p := range people {
		needles[fmt.Sprintf("a user's key (%d)", i)] = p
	}
	where := everything(t)
	for i, r := range said {
		where[fmt.Sprintf("output of run %d", i)] = r.stdout + r.stderr
	}
	for place, text := range where {
		for which, needle := range needles {
			if strings.Contains(text, needle) {
				t.Errorf("%s is in %s", which, place)
			}
		}
	}
	// The search finds what is there.
	secret, err := admin.Kube.CoreV1().Secrets(blue).Get(t.Context(), pair.SecretName("lab-b"), metav1.GetOptions{})
	if err != nil || !strings.Contains(base64.StdEncoding.EncodeToString(secret.Data["token"]), needles["the pair's token in base64"]) {
		t.Errorf("the search would not find the token where it is: %v", err)
	}
	if len(where) < 200 {
		t.Errorf("only %d places were searched", len(where))
	}
}

func TestSeveralNamespacesMoveWithOneReportAndOneThatFailsStopsNoOther(t *testing.T) {
	reset(t, blue)
	reset(t, red)
	site(t, blue)
	site(t, red)
	a := as(t, "lab-a")
	withNamespace(t, a, "not-paired", map[string]string{"e2e-move": "yes"})
	for _, ns := range []string{blue, red} {
		put(t, a, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {e2e: \"true\"}}\ndata: {a: b}")
	}
	var out struct {
		Migrations []struct {
			Namespace, Migration, Error string
			ExitCode                    int
		}
	}
	several := "not-paired," + blue + "," + red
	r := motion(t, "migrate", "--context", "lab-a", "--to", "lab-b", "--namespaces", several, "-o", "json")
	if r.code != 3 || json.Unmarshal([]byte(r.stdout), &out) != nil || len(out.Migrations) != 3 {
		t.Fatalf("want exit status 3 and one report about three: %s", r)
	}
	for i, ns := range strings.Split(several, ",") {
		m := out.Migrations[i]
		if bad := m.ExitCode != 0 || m.Error != ""; m.Namespace != ns || bad != (ns == "not-paired") {
			t.Errorf("%+v", m)
		}
	}
	for _, ns := range []string{blue, red} {
		if _, err := as(t, "lab-b").Kube.CoreV1().ConfigMaps(ns).Get(t.Context(), "settings", metav1.GetOptions{}); err != nil {
			t.Errorf("%s did not move: %v", ns, err)
		}
	}
	// Through another's eyes: with that one's rights, on both clusters.
	if r := motion(t, "migrate", "--context", "lab-a", "--as", blue, "-n", blue, "--to", "lab-b"); r.code != 0 {
		t.Errorf("an administrator as %s: %s", blue, r)
	}
	if r := motion(t, "plan", "--context", "lab-a", "--as", red, "-n", blue, "--to", "lab-b"); r.code != 1 || !strings.Contains(r.stderr, "forbidden") {
		t.Errorf("an administrator as %s reaches %s: %s", red, blue, r)
	}
	if r := motion(t, "migrate", "--context", "lab-a", "--as", blue, "-n", blue, "--to-context", "lab-b", "--to-namespace", red); r.code == 0 || !strings.Contains(r.stderr+r.stdout, "forbidden") {
		t.Errorf("as %s the administrator's rights did the work in %s of the target: %s", blue, red, r)
	}
}

// The credential of a pair makes no token of a ServiceAccount that outlives the pair,
// in none of the ways in which an API server gives one.
func TestPairCredentialTokens(t *testing.T) {
	site(t, blue)
	a, b := as(t, "lab-a"), as(t, "lab-b")
	c := withToken(t, b, "lab-b", string(secretOf(t, blue, pair.SecretName("lab-b"))["token"]))
	account := pair.AccountName(a.ID, pair.Mapping{Source: blue, Target: blue}, "lab-b")
	in, agents := "/api/v1/namespaces/"+blue, "/api/v1/namespaces/"+deploy.DefaultNamespace
	secret := func(account string) string {
		return `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"keep","annotations":{"kubernetes.io/service-account.name":"` + account + `"}},"type":"kubernetes.io/service-account-token"}`
	}
	spec := func(account, more string) string {
		return `{"serviceAccountName":"` + account + `","containers":[{"name":"c","image":"x"}]` + more + `}`
	}
	pod := func(account, more string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"keep"},"spec":` + spec(account, more) + `}`
	}
	template := func(kind, version, account string) string {
		return `{"apiVersion":"` + version + `","kind":"` + kind + `","metadata":{"name":"keep"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":` + spec(account, "") + `}}}`
	}
	projected := `,"automountServiceAccountToken":false,"volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"t","expirationSeconds":31536000}}]}}]`
	for what, r := range map[string]request{
		"a_Secret_of_its_own_account":      {"POST", agents + "/secrets", secret(account)},
		"a_Secret_of_another_account":      {"POST", in + "/secrets", secret("default")},
		"a_pod_in_its_account's_namespace": {"POST", agents + "/pods", pod(account, "")},
		"a_pod_of_an_account_with_rights":  {"POST", in + "/pods", pod("e2e-deployer", "")},
		"a_projected_token":                {"POST", in + "/pods", pod("e2e-deployer", projected)},
		"a_Deployment":                     {"POST", "/apis/apps/v1/namespaces/" + blue + "/deployments", template("Deployment", "apps/v1", "e2e-deployer")},
		"a_DaemonSet":                      {"POST", "/apis/apps/v1/namespaces/" + blue + "/daemonsets", template("DaemonSet", "apps/v1", "e2e-deployer")},
		"a_ReplicaSet":                     {"POST", "/apis/apps/v1/namespaces/" + blue + "/replicasets", template("ReplicaSet", "apps/v1", "e2e-deployer")},
		"a_CronJob": {"POST", "/apis/batch/v1/namespaces/" + blue + "/cronjobs", `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"keep"},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":` +
			spec("e2e-deployer", `,"restartPolicy":"Never"`) + `}}}}}`},
		"a_token_request": {"POST", in + "/serviceaccounts/default/token", `{}`},
	} {
		t.Run(what, func(t *testing.T) {
			if err := r.try(t.Context(), c); !apierrors.IsForbidden(err) {
				t.Errorf("%s: %v", r, err)
			}
		})
	}
	t.Run("pods_without_a_token_and_of_allowed_accounts_are_created", func(t *testing.T) {
		for _, body := range []string{pod("e2e-deployer", `,"automountServiceAccountToken":false`), pod("default", "")} {
			err := request{"POST", in + "/pods?dryRun=All", body}.try(t.Context(), c)
			if err != nil && strings.Contains(err.Error(), "the pair does not allow") {
				t.Error(err)
			}
		}
	})
	t.Run("the_target_deletes_the_account_when_the_pair_has_expired", func(t *testing.T) {
		accounts := b.Kube.CoreV1().ServiceAccounts(deploy.DefaultNamespace)
		t.Cleanup(func() {
			c, out := command(context.WithoutCancel(t.Context()), "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes")
			if err := c.Run(); err != nil {
				t.Errorf("%v: %s", err, out.err.String())
			}
		})
		expire := []byte(`{"metadata":{"annotations":{"` + v1alpha1.AnnotationExpiryTime + `":"2020-01-01T00:00:00Z"}}}`)
		if _, err := accounts.Patch(t.Context(), account, types.MergePatchType, expire, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		cron, err := b.Kube.BatchV1().CronJobs(deploy.DefaultNamespace).Get(t.Context(), deploy.ReaperName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{GenerateName: "motion-reaper-now-", Namespace: deploy.DefaultNamespace}, Spec: cron.Spec.JobTemplate.Spec}
		if job, err = b.Kube.BatchV1().Jobs(deploy.DefaultNamespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = b.Kube.BatchV1().Jobs(deploy.DefaultNamespace).Delete(context.WithoutCancel(t.Context()), job.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
		})
		await(t, "the credential to end", func() error {
			if err := (request{"GET", in + "/pods", ""}).try(t.Context(), c); !apierrors.IsUnauthorized(err) {
				return fmt.Errorf("the credential still works: %w", err)
			}
			if _, err := b.Kube.RbacV1().RoleBindings(blue).Get(t.Context(), account, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("its binding: %w", err)
			}
			return nil
		})
	})
}
