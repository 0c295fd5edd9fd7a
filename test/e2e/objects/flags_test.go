//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

const flagged = `
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {color: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, annotations: {kubectl-motion.dev/skip: ""}}
---
apiVersion: v1
kind: Secret
metadata: {name: words}
stringData: {a: not-to-be-seen}
---
apiVersion: v1
kind: Service
metadata: {name: lb}
spec: {type: LoadBalancer, loadBalancerClass: none.example.com/x, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: lab-local, resources: {requests: {storage: 16Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "lab/web:1", envFrom: [{configMapRef: {name: conf}}]}]}`

// planned runs the verb and decodes its plan; write what moves as kind/name.
func planned(t *testing.T, args ...string) (*plan.Plan, []string) {
	t.Helper()
	code, stdout, stderr := motion(t, append([]string{"plan", "--context", "lab-a", "--to-context", "lab-b", "-o", "json"}, args...)...)
	var p plan.Plan
	if err := json.Unmarshal([]byte(stdout), &p); err != nil {
		t.Fatalf("%v: exit status %d, %s", err, code, stderr)
	}
	var moves []string
	for _, i := range p.Items {
		if i.Verdict == inventory.Move {
			moves = append(moves, i.Source.String())
		}
	}
	return &p, moves
}

// exported reads the one object of a kind and name that a plan exports.
func exported(t *testing.T, file string, args ...string) *unstructured.Unstructured {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	code, _, stderr := motion(t, append([]string{"plan", "--context", "lab-a", "--to-context", "lab-b", "--export", dir}, args...)...)
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatalf("%v: exit status %d, %s", err, code, stderr)
	}
	return decode(t, string(text))[0]
}

func value(u *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, path...)
	return s
}

// TestWhatIsTypedDecidesWhatMovesAndHow: each flag, through the command line.
func TestWhatIsTypedDecidesWhatMovesAndHow(t *testing.T) {
	const ns, second = "obj-flags", "obj-flags-2"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	for _, c := range []*cluster.Cluster{a, b} {
		namespace(t, c, ns)
	}
	namespace(t, a, second)
	write(t, a, ns, flagged)
	write(t, a, second, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}")

	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"everything but what says skip": {nil, []string{"configmap/conf", "deployment.apps/web", "persistentvolumeclaim/data", "secret/words", "service/lb"}},
		"a label, and what it needs":    {[]string{"-l", "app=web"}, []string{"configmap/conf", "deployment.apps/web"}},
		"a type":                        {[]string{"--include", "secrets,pvc"}, []string{"persistentvolumeclaim/data", "secret/words"}},
		"a type and a name":             {[]string{"--include", "deploy/web"}, []string{"configmap/conf", "deployment.apps/web"}},
		"all but a type and a name":     {[]string{"--exclude", "services", "--exclude", "configmap/conf"}, []string{"deployment.apps/web", "persistentvolumeclaim/data", "secret/words"}},
	} {
		p, moves := planned(t, append([]string{"-n", ns}, c.args...)...)
		slices.Sort(moves)
		if !slices.Equal(moves, c.want) {
			t.Errorf("%s: %v move, want %v", name, moves, c.want)
		}
		for _, i := range p.Items {
			if name == "a label, and what it needs" && i.Source.String() == "configmap/conf" && i.Detail != "needed by deployment.apps/web" {
				t.Errorf("why the ConfigMap comes along: %q", i.Detail)
			}
		}
	}

	if u := exported(t, "deployment-web.yaml", "-n", ns, "--image", "lab=registry.example.com/lab"); !imaged(t, u, "registry.example.com/lab/web:1") {
		t.Errorf("--image: %v", u.Object["spec"])
	}
	if u := exported(t, "persistentvolumeclaim-data.yaml", "-n", ns, "--storage-class", "lab-local=lab-hostpath"); value(u, "spec", "storageClassName") != "lab-hostpath" {
		t.Errorf("--storage-class: %v", u.Object["spec"])
	}
	for flag, want := range map[string]string{"clusterip": "", "keep": "LoadBalancer"} {
		if u := exported(t, "service-lb.yaml", "-n", ns, "--load-balancers", flag); value(u, "spec", "type") != want {
			t.Errorf("--load-balancers %s: %v", flag, u.Object["spec"])
		}
	}
	patch := filepath.Join(t.TempDir(), "patch.yaml")
	if err := os.WriteFile(patch, []byte("- target: {kind: ConfigMap, name: conf}\n  patch: [{op: replace, path: /data/color, value: green}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if u := exported(t, "configmap-conf.yaml", "-n", ns, "--patch", patch); value(u, "data", "color") != "green" {
		t.Errorf("--patch: %v", u.Object)
	}
	if u := exported(t, "configmap-conf.yaml", "-n", second, "--to-namespace", ns); u.GetNamespace() != ns {
		t.Errorf("--to-namespace: %s", u.GetNamespace())
	}
	onlyShown(t, b, ns)
}

// onlyShown: migrate --dry-run is the plan, to the letter, and neither has written
// anything.
func onlyShown(t *testing.T, b *cluster.Cluster, ns string) {
	t.Helper()
	for _, format := range [][]string{nil, {"-o", "json"}, {"-o", "yaml"}} {
		args := append([]string{"--context", "lab-a", "--to-context", "lab-b", "-n", ns, "--storage-class", "lab-local=lab-hostpath"}, format...)
		code, shown, _ := motion(t, append([]string{"plan"}, args...)...)
		dry, would, stderr := motion(t, append([]string{"migrate", "--dry-run"}, args...)...)
		if code != 0 || dry != code || shown != would || shown == "" {
			t.Errorf("%v: plan ends with %d, migrate --dry-run with %d, and they are the same: %v\n%s\n%s%s", format, code, dry, shown == would, shown, would, stderr)
		}
	}
	for _, r := range []string{"configmaps", "secrets", "services", "persistentvolumeclaims"} {
		list, err := b.Resource(core(r, "", ns, "").GVR(), ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			if u.GetName() != "kube-root-ca.crt" {
				t.Errorf("%s %s is on the target although nothing but plans were made", r, u.GetName())
			}
		}
	}
}

func imaged(t *testing.T, u *unstructured.Unstructured, image string) bool {
	t.Helper()
	text, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), `"`+image+`"`)
}

// TestNamespacesAreChosenByNameLabelOrAll, and the system's never.
func TestNamespacesAreChosenByNameLabelOrAll(t *testing.T) {
	const ns, second = "obj-several", "obj-several-2"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	for _, n := range []string{ns, second} {
		namespace(t, a, n)
		namespace(t, b, n)
	}
	for name, c := range map[string]struct {
		args      []string
		must, not []string
	}{
		"by name":  {[]string{"--namespaces", ns + "," + second}, []string{ns, second}, []string{"blue"}},
		"by label": {[]string{"--namespace-selector", "kubernetes.io/metadata.name=" + second}, []string{second}, []string{ns}},
		"all":      {[]string{"-A"}, []string{ns, second, "blue", "red"}, []string{"kube-system", "kube-public", "kube-node-lease", "kubectl-motion"}},
	} {
		_, stdout, stderr := motion(t, append([]string{"plan", "--context", "lab-a", "--to-context", "lab-b", "-o", "json"}, c.args...)...)
		var all struct{ Plans []plan.Plan }
		if err := json.Unmarshal([]byte(stdout), &all); err != nil {
			t.Fatalf("%s: %v: %s", name, err, stderr)
		}
		var seen []string
		for _, p := range all.Plans {
			seen = append(seen, p.Source.Namespace)
		}
		for _, n := range c.must {
			if !slices.Contains(seen, n) {
				t.Errorf("%s: %s is not among %v", name, n, seen)
			}
		}
		for _, n := range c.not {
			if slices.Contains(seen, n) {
				t.Errorf("%s: %s is among %v", name, n, seen)
			}
		}
	}
	for _, wrong := range [][]string{
		{"-n", "kube-system"},
		{"--namespaces", "kube-system"},
		{"--namespaces", "a", "-A"},
		{"-n", ns, "--include", "a/b/c"},
		{"-n", ns, "-l", "=="},
		{"-n", ns, "--load-balancers", "maybe"},
		{"-n", ns, "--prune-volumes"},
		{"-A", "--to-namespace", "x"},
	} {
		if code, _, stderr := motion(t, append([]string{"plan", "--context", "lab-a", "--to-context", "lab-b"}, wrong...)...); code != 2 {
			t.Errorf("%v: exit status %d, want 2: %s", wrong, code, stderr)
		}
	}
}

// TestTheExportIsADirectoryThatKubectlApplies, as the user blue and nobody else;
// what blue may not write is a directory of its own for an administrator.
func TestTheExportIsADirectoryThatKubectlApplies(t *testing.T) {
	inBlue(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: e2e-conf}
data: {color: "blue"}
---
apiVersion: v1
kind: Secret
metadata: {name: e2e-words}
stringData: {a: not-to-be-seen}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: e2e-big}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: e2e-fine}
spec:
  replicas: 2
  selector: {matchLabels: {app: e2e-fine}}
  template:
    metadata: {labels: {app: e2e-fine}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers: [{name: a, image: "lab/web:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]`)
	dst := as(t, "lab-b-blue")
	run := func(more ...string) (dir, stderr string) {
		t.Helper()
		dir = filepath.Join(t.TempDir(), "out")
		code, stdout, stderr := motion(t, append([]string{
			"plan", "--context", "lab-a-blue", "--to-context", "lab-b-blue", "-n", "blue", "--export", dir,
			"--include", "configmaps/e2e-conf,secrets/e2e-words,roles/e2e-big,deployments/e2e-fine",
		}, more...)...)
		if code != 3 {
			t.Fatalf("exit status %d, want 3 as a Role is for an administrator: %s%s", code, stdout, stderr)
		}
		return dir, stderr
	}
	dir, stderr := run()
	if !strings.Contains(stderr, "1 Secrets of blue are not exported") {
		t.Errorf("nobody is told that the Secret is not there: %s", stderr)
	}
	private(t, dir, "not-to-be-seen", "bm90LXRvLWJlLXNlZW4=")
	with, _ := run("--export-secrets")
	if text, err := os.ReadFile(filepath.Join(with, "secret-e2e-words.yaml")); err != nil || !strings.Contains(string(text), "bm90LXRvLWJlLXNlZW4=") {
		t.Errorf("--export-secrets: %v %s", err, text)
	}
	apply := func(context, dir string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), kubectl(), "--kubeconfig", kubeconfig(), "--context", context, "apply", "-k", dir).CombinedOutput()
		if err != nil {
			t.Errorf("kubectl apply -k as %s: %v: %s", context, err, out)
		}
	}
	apply("lab-b-blue", dir)
	d, err := dst.Kube.AppsV1().Deployments("blue").Get(t.Context(), "e2e-fine", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 2 || d.Annotations["kubectl-motion.dev/source"] != "" || d.Annotations["kubectl-motion.dev/original-state"] != "" {
		t.Errorf("%v %v", d, err)
	}
	if _, err := dst.Kube.RbacV1().Roles("blue").Get(t.Context(), "e2e-big", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("blue has made a Role that he may not: %v", err)
	}
	apply("lab-b", filepath.Join(dir, "needs-admin"))
	if _, err := dst.Kube.RbacV1().Roles("blue").Get(t.Context(), "e2e-big", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// private checks that files are for their owner only, and hold none of the words.
func private(t *testing.T, dir string, words ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		text, err := os.ReadFile(path)
		for _, w := range words {
			if strings.Contains(string(text), w) {
				t.Errorf("%s holds the value of a Secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
