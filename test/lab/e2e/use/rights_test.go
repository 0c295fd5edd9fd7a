//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package use

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/test/lab/e2e/labtest"
)

const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s}
spec:
  storageClassName: %s
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
`

func TestRestrictedPodsWriteToVolumesOfBothClassesAndWhatIsDeletedIsGone(t *testing.T) {
	lab := labtest.Running(t)
	for class, kind := range map[string]string{"lab-local": "local", "lab-hostpath": "hostPath"} {
		t.Run(class, func(t *testing.T) {
			name := "writes-" + class
			lab.Apply(t, "lab-b-blue", fmt.Sprintf(claim, name, class)+fmt.Sprintf(restricted, name, "app: x", "lab/tools:1", sleeper,
				"{name: data, mountPath: /data}", "{name: data, persistentVolumeClaim: {claimName: "+name+"}}"))
			ready(t, lab, "lab-b-blue", "blue", name)
			lab.Kubectl(t, "lab-b-blue", "exec", name, "--", "sh", "-c", "echo kept > /data/file && sync /data/file")
			pv := lab.Kubectl(t, "lab-b-blue", "get", "pvc", name, "-o", "jsonpath={.spec.volumeName}")
			path := lab.Kubectl(t, "lab-b", "get", "pv", pv, "-o", "jsonpath={.spec."+kind+".path}")
			node := lab.Kubectl(t, "lab-b-blue", "get", "pod", name, "-o", "jsonpath={.spec.nodeName}")
			if path == "" {
				t.Fatalf("PersistentVolume %s is not of type %s", pv, kind)
			}
			if got := onNode(t, lab, node, "cat", path+"/file"); got != "kept\n" {
				t.Errorf("the file on %s is %q", node, got)
			}
			if got := onNode(t, lab, node, "stat", "-f", "-c", "%T", path); got != "xfs\n" {
				t.Errorf("the volume's filesystem is %q, want xfs", got)
			}
			onNode(t, lab, node, "cp", "--reflink=always", path+"/file", path+"/clone")

			lab.Kubectl(t, "lab-b-blue", "delete", "pod,pvc", name)
			labtest.Eventually(t, "the folder of a deleted claim", func() error {
				if out, err := lab.TryMotion("exec", node, "--", "ls", path); err == nil {
					return fmt.Errorf("%s is still on %s: %s", path, node, out)
				}
				return nil
			})
			labtest.Eventually(t, "the volume of a deleted claim", func() error {
				if out, err := lab.TryKubectl("lab-b", "get", "pv", pv); err == nil {
					return fmt.Errorf("still there: %s", out)
				}
				return nil
			})
		})
	}
}

func onNode(t *testing.T, lab *labtest.Lab, node string, command ...string) string {
	t.Helper()
	return lab.Motion(t, append([]string{"exec", node, "--"}, command...)...)
}

func TestPostgreSQLRunsRestrictedOnAVolume(t *testing.T) {
	lab := labtest.Running(t)
	manifest := fmt.Sprintf(claim, "pg", "lab-local") + fmt.Sprintf(restricted, "pg", "app: pg", "lab/postgres:15",
		`["/entrypoint.sh", "postgres"]`, "{name: data, mountPath: /data}",
		"{name: data, persistentVolumeClaim: {claimName: pg}}")
	manifest = strings.Replace(manifest, "    securityContext: {allow",
		"    env: [{name: PGDATA, value: /data/pgdata}, {name: POSTGRES_PASSWORD, value: test}]\n    securityContext: {allow", 1)
	lab.Apply(t, "lab-a-red", manifest)
	t.Cleanup(func() { lab.Kubectl(t, "lab-a-red", "delete", "pod,pvc", "pg", "--wait=false") })
	ready(t, lab, "lab-a-red", "red", "pg")
	labtest.Eventually(t, "PostgreSQL to accept connections", func() error {
		_, err := lab.TryKubectl("lab-a-red", "exec", "pg", "--", "pg_isready", "-h", "127.0.0.1")
		return err
	})
	lab.Kubectl(t, "lab-a-red", "exec", "pg", "--", "pgbench", "-q", "-i", "-s", "1", "-U", "postgres")
	lab.Kubectl(t, "lab-a-red", "exec", "pg", "--", "psql", "-U", "postgres", "-c", "CREATE EXTENSION amcheck")
	lab.Kubectl(t, "lab-a-red", "exec", "pg", "--", "pg_amcheck", "-U", "postgres", "--heapallindexed")
	if got := lab.Kubectl(t, "lab-a-red", "exec", "pg", "--", "psql", "-U", "postgres", "-Atc",
		"SELECT count(*) FROM pgbench_accounts"); got != "100000\n" {
		t.Errorf("pgbench_accounts has %s rows", got)
	}
	if got := lab.Kubectl(t, "lab-a-red", "exec", "pg", "--", "psql", "-U", "postgres", "-Atc",
		"SELECT datcollate FROM pg_database WHERE datname = 'postgres'"); got != "C.UTF-8\n" {
		t.Errorf("the database's locale is %s", got)
	}
}

func TestPodSecurityRefusesAPrivilegedPodInAUsersNamespace(t *testing.T) {
	lab := labtest.Running(t)
	privileged := strings.Replace(pod("mighty", "lab/tools:1", sleeper),
		"allowPrivilegeEscalation: false", "privileged: true", 1)
	for _, kubeContext := range []string{"lab-a-blue", "lab-b-red"} {
		out, err := lab.TryApply(kubeContext, privileged)
		if err == nil || !strings.Contains(out, `violates PodSecurity "restricted:latest"`) {
			t.Errorf("%s: a privileged pod was not refused by Pod Security: %v: %s", kubeContext, err, out)
		}
	}
}

// Rights that kubectl-motion itself gives to everybody when it is installed, such as reading StorageClasses, are not asked.
func TestUsersHaveTheirNamespaceAndNothingElse(t *testing.T) {
	lab := labtest.Running(t)
	for _, c := range []struct {
		context string
		args    []string
		want    string
	}{
		{"lab-a", []string{"delete", "nodes"}, "yes"},
		{"lab-b", []string{"*", "*", "--all-namespaces"}, "yes"},
		{"lab-a-blue", []string{"create", "pods", "-n", "blue"}, "yes"},
		{"lab-a-blue", []string{"create", "pods", "--subresource=exec", "-n", "blue"}, "yes"},
		{"lab-a-blue", []string{"create", "rolebindings", "-n", "blue"}, "yes"},
		{"lab-a-blue", []string{"list", "pods", "-n", "red"}, "no"},
		{"lab-a-blue", []string{"get", "secrets", "-n", "red"}, "no"},
		{"lab-a-blue", []string{"list", "nodes"}, "no"},
		{"lab-a-blue", []string{"list", "persistentvolumes"}, "no"},
		{"lab-a-blue", []string{"update", "namespaces", "-n", "blue"}, "no"},
		{"lab-a-blue", []string{"create", "customresourcedefinitions"}, "no"},
		{"lab-b-red", []string{"create", "pods", "-n", "red"}, "yes"},
		{"lab-b-red", []string{"list", "pods", "-n", "blue"}, "no"},
		{"lab-b-red", []string{"impersonate", "users"}, "no"},
		{"lab-b-blue", []string{"create", "pods", "-n", "kube-system"}, "no"},
	} {
		out, _ := lab.TryKubectl(c.context, append([]string{"auth", "can-i"}, c.args...)...) // fails when the answer is no
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if got := lines[len(lines)-1]; got != c.want {
			t.Errorf("%s: can-i %s: %s, want %s", c.context, strings.Join(c.args, " "), out, c.want)
		}
	}
}

func TestACertificateOfOneClusterIsNobodyInTheOther(t *testing.T) {
	lab := labtest.Running(t)
	server := lab.Kubectl(t, "lab-b", "config", "view", "-o", `jsonpath={.clusters[?(@.name=="lab-b")].cluster.server}`)
	out, err := lab.TryKubectl("lab-a", "--server", server, "--insecure-skip-tls-verify", "get", "pods")
	if err == nil || !strings.Contains(out, "Unauthorized") && !strings.Contains(out, "must be logged in") {
		t.Errorf("lab-a's administrator at lab-b: %v: %s", err, out)
	}
}
