//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package use tests that the running lab is what it promises to be: two clusters in which real applications find what
// they expect, and users with exactly their rights.
package use

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/test/lab/e2e/labtest"
)

// restricted is a pod that the restricted Pod Security level admits. Arguments: name, labels, image, command, mounts,
// volumes.
const restricted = `
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {%s}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: %s
    command: %s
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [%s]
  volumes: [%s]
`

const sleeper = `["sleep", "100000"]`

func pod(name, image, command string) string {
	return fmt.Sprintf(restricted, name, "app: "+name, image, command, "", "")
}

func ready(t *testing.T, lab *labtest.Lab, cluster, namespace string, names ...string) {
	t.Helper()
	for _, name := range names {
		lab.Kubectl(t, cluster, "-n", namespace, "wait", "--for=condition=Ready", "--timeout=90s", "pod/"+name)
	}
}

func TestEveryNodeIsReadyAndRunsTheStatedVersion(t *testing.T) {
	lab := labtest.Running(t)
	for cluster, nodes := range map[string]int{"lab-a": 1, "lab-b": 2} {
		lines := strings.Fields(lab.Kubectl(t, cluster, "get", "nodes", "-o",
			`jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}/{.status.conditions[?(@.type=="Ready")].status} {end}`))
		if len(lines) != nodes {
			t.Errorf("%s has %d nodes, want %d", cluster, len(lines), nodes)
		}
		for _, line := range lines {
			if line != "v1.36.3/True" {
				t.Errorf("%s: node is %s, want v1.36.3/True", cluster, line)
			}
		}
	}
}

func TestServicesAnswerByNameAcrossNodes(t *testing.T) {
	lab := labtest.Running(t)
	ns := lab.Namespace(t, "lab-b")
	for _, node := range []string{"lab-b-node-1", "lab-b-node-2"} {
		on := "spec:\n  nodeName: " + node
		lab.Apply(t, "lab-b", "---"+strings.Replace(inNamespace(ns, pod("web-"+node, "lab/web:1", `["/web"]`)), "spec:", on, 1))
		lab.Apply(t, "lab-b", "---"+strings.Replace(inNamespace(ns, pod("client-"+node, "lab/tools:1", sleeper)), "spec:", on, 1))
	}
	for _, node := range []string{"lab-b-node-1", "lab-b-node-2"} {
		lab.Kubectl(t, "lab-b", "-n", ns, "expose", "pod", "web-"+node, "--port=80", "--target-port=8080", "--name=svc-"+node)
		ready(t, lab, "lab-b", ns, "web-"+node, "client-"+node)
	}
	for _, client := range []string{"lab-b-node-1", "lab-b-node-2"} {
		for _, server := range []string{"lab-b-node-1", "lab-b-node-2"} {
			url := fmt.Sprintf("http://svc-%s.%s.svc.cluster.local/hostname", server, ns)
			labtest.Eventually(t, client+" to "+server, func() error {
				out, err := lab.TryKubectl("lab-b", "-n", ns, "exec", "client-"+client, "--", "curl", "-sf", "-m", "3", url)
				return labtest.Said(strings.TrimSpace(out), err, "web-"+server)
			})
		}
	}
}

func inNamespace(ns, manifest string) string {
	return strings.Replace(manifest, "metadata:", "metadata:\n  namespace: "+ns, 1)
}

func TestNodePortsAnswerAtBothNodesFromTheOtherClusterAndTheHost(t *testing.T) {
	lab := labtest.Running(t)
	nsA, nsB := lab.Namespace(t, "lab-a"), lab.Namespace(t, "lab-b")
	lab.Apply(t, "lab-a", inNamespace(nsA, pod("client", "lab/tools:1", sleeper)))
	lab.Apply(t, "lab-b", inNamespace(nsB, pod("web", "lab/web:1", `["/web"]`)))
	lab.Kubectl(t, "lab-b", "-n", nsB, "expose", "pod", "web", "--port=80", "--target-port=8080", "--type=NodePort")
	ready(t, lab, "lab-a", nsA, "client")
	ready(t, lab, "lab-b", nsB, "web")
	port := lab.Kubectl(t, "lab-b", "-n", nsB, "get", "svc", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
	nodes := strings.Fields(lab.Kubectl(t, "lab-b", "get", "nodes", "-o",
		`jsonpath={range .items[*]}{.status.addresses[?(@.type=="InternalIP")].address} {end}`))
	if len(nodes) != 2 {
		t.Fatalf("lab-b has addresses %v, want two", nodes)
	}
	for _, node := range nodes {
		url := "http://" + node + ":" + port + "/hostname"
		labtest.Eventually(t, "from a pod of the other cluster", func() error {
			out, err := lab.TryKubectl("lab-a", "-n", nsA, "exec", "client", "--", "curl", "-sf", "-m", "3", url)
			return labtest.Said(strings.TrimSpace(out), err, "web")
		})
		if got := get(t, url); got != "web" {
			t.Errorf("from the host: GET %s = %q, want web", url, got)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

func TestEachAPIServerAnswersPodsOfTheOtherCluster(t *testing.T) {
	lab := labtest.Running(t)
	for from, to := range map[string]string{"lab-a": "lab-b", "lab-b": "lab-a"} {
		ns := lab.Namespace(t, from)
		lab.Apply(t, from, inNamespace(ns, pod("client", "lab/tools:1", sleeper)))
		ready(t, lab, from, ns, "client")
		server := lab.Kubectl(t, to, "config", "view", "-o", `jsonpath={.clusters[?(@.name=="`+to+`")].cluster.server}`)
		address := strings.TrimPrefix(server, "https://")
		host, port, _ := strings.Cut(address, ":")
		lab.Kubectl(t, from, "-n", ns, "exec", "client", "--", "timeout", "3", "bash", "-c", "</dev/tcp/"+host+"/"+port)
	}
}

func TestExecLogsAndPortForwardWorkForTheNamespaceUser(t *testing.T) {
	lab := labtest.Running(t)
	lab.Apply(t, "lab-a-blue", pod("forwarded", "lab/web:1", `["/web"]`))
	lab.Apply(t, "lab-a-blue", pod("talker", "lab/tools:1", `["sh", "-c", "echo hello from the log; exec sleep 100000"]`))
	t.Cleanup(func() { lab.Kubectl(t, "lab-a-blue", "delete", "pod", "forwarded", "talker", "--wait=false") })
	ready(t, lab, "lab-a-blue", "blue", "forwarded", "talker")
	if got := lab.Kubectl(t, "lab-a-blue", "exec", "talker", "--", "hostname"); got != "talker\n" {
		t.Errorf("exec hostname = %q", got)
	}
	if got := lab.Kubectl(t, "lab-a-blue", "logs", "talker"); got != "hello from the log\n" {
		t.Errorf("logs = %q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := lab.KubectlCommand(ctx, "lab-a-blue", "port-forward", "pod/forwarded", ":8080")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d", &port); err != nil {
		t.Fatalf("port-forward said %q: %v", line, err)
	}
	if got := get(t, fmt.Sprintf("http://127.0.0.1:%d/hostname", port)); got != "forwarded" {
		t.Errorf("through port-forward: %q", got)
	}
}
