//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package life tests a lab's life and death, and its faults, on a lab of its own beside the one that people use.
package life

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/test/lab/e2e/labtest"
)

// TestALabsLife walks one lab through everything that may happen to it. The steps build on each other, because a start
// costs more than most of them.
func TestALabsLife(t *testing.T) {
	dir := os.Getenv("MOTION_LAB_TEST_DIR")
	if dir == "" {
		dir = "/var/lib/motion-lab-test"
	}
	lab := labtest.At(t, dir)
	lab.Motion(t, "down")
	before := hostState(t)
	t.Cleanup(func() {
		lab.Motion(t, "down")
		assertNothingLeft(t, lab, before)
	})
	lab.Motion(t, "up")
	slot := slotOf(t, lab)
	for _, step := range []struct {
		name string
		do   func(*testing.T, *labtest.Lab)
	}{
		{"up again changes nothing", upTwice},
		{"a cut link is silent until it is restored", cutLink},
		{"a slow link is not faster than told", slowLink},
		{"a firewall stops new connections in one direction only", firewall},
		{"an API server can be cut off from its nodes or from the host", cutAPI},
		{"a full disk says so and can be freed", fullDisk},
		{"a stopped component stays stopped until it is started", stopComponent},
		{"a killed component starts again", killComponent},
		{"a node that was switched off comes back with its pods and data", switchNodeOff},
		{"a router that died comes back with its nodes", killRouter},
		{"after its supervisor was killed a lab comes up as it was", killSupervisor},
		{"a start that was killed half-way is finished by the next", killUp},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, lab) }) {
			t.Fatal("later steps need this one")
		}
	}
	t.Run("what does not become ready is reported with the end of its log", brokenProgram(lab))
	t.Run("down removes everything also after a kill", func(t *testing.T) {
		kill(t, lab)
		lab.Motion(t, "down")
		assertNothingLeft(t, lab, before)
		assertSlotIsClean(t, slot)
	})
}

func upTwice(t *testing.T, lab *labtest.Lab) {
	first := lab.Motion(t, "status")
	lab.Motion(t, "up")
	if got := pids(lab.Motion(t, "status")); got != pids(first) {
		t.Errorf("processes changed from\n%s\nto\n%s", pids(first), got)
	}
}

// pids is the status without what changes by itself.
func pids(status string) string {
	var b strings.Builder
	for line := range strings.Lines(status) {
		if f := strings.Fields(line); len(f) > 1 {
			fmt.Fprintln(&b, f[0], f[1])
		}
	}
	return b.String()
}

// api is the address of a cluster's API server.
func api(t *testing.T, lab *labtest.Lab, cluster string) (host, port string) {
	t.Helper()
	server := lab.Kubectl(t, cluster, "config", "view", "-o", `jsonpath={.clusters[?(@.name=="`+cluster+`")].cluster.server}`)
	host, port, _ = strings.Cut(strings.TrimPrefix(server, "https://"), ":")
	return host, port
}

// dial tries a TCP connection from a node.
func dial(lab *labtest.Lab, node, host, port string) error {
	out, err := lab.TryMotion("exec", node, "--", "timeout", "3", "bash", "-c", "</dev/tcp/"+host+"/"+port)
	if err != nil {
		return fmt.Errorf("%s to %s:%s: %w: %s", node, host, port, err, out)
	}
	return nil
}

func cutLink(t *testing.T, lab *labtest.Lab) {
	host, port := api(t, lab, "lab-b")
	must(t, dial(lab, "lab-a/node-1", host, port))
	lab.Motion(t, "link", "cut")
	if dial(lab, "lab-a/node-1", host, port) == nil {
		t.Error("the cut link lets connections through")
	}
	lab.Kubectl(t, "lab-b", "get", "nodes") // the host's own link is another one
	lab.Motion(t, "link", "restore")
	must(t, dial(lab, "lab-a/node-1", host, port))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// slowLink sends 256 KiB over a link of 512 kbit/s, which takes about four seconds; less than two would mean that the
// limit does not hold, however slow the machine.
func slowLink(t *testing.T, lab *labtest.Lab) {
	lab.Motion(t, "link", "slow", "512kbit")
	ns := lab.Namespace(t, "lab-b")
	lab.Kubectl(t, "lab-b", "-n", ns, "run", "web", "--image=lab/web:1", "--env=WEB_ROOT=/", "--port=8080", "--expose",
		"--overrides={\"spec\":{\"hostNetwork\":true}}")
	lab.Kubectl(t, "lab-b", "-n", ns, "wait", "--for=condition=Ready", "--timeout=90s", "pod/web")
	node := lab.Kubectl(t, "lab-b", "-n", ns, "get", "pod", "web", "-o", "jsonpath={.status.hostIP}")
	start := time.Now()
	lab.Motion(t, "exec", "lab-a/node-1", "--", "bash", "-c",
		`exec 3<>/dev/tcp/`+node+`/8080; printf 'GET /web HTTP/1.0\r\n\r\n' >&3; head -c 262144 <&3 | wc -c`)
	if took := time.Since(start); took < 2*time.Second {
		t.Errorf("256 KiB at 512 kbit/s took only %s", took)
	}
	lab.Motion(t, "link", "restore")
}

func firewall(t *testing.T, lab *labtest.Lab) {
	hostA, port := api(t, lab, "lab-a")
	hostB, _ := api(t, lab, "lab-b")
	// A connection that is open before the firewall comes up: it says something only after.
	answer := make(chan string, 1)
	go func() {
		out, err := lab.TryMotion("exec", "lab-a/node-1", "--", "timeout", "60", "bash", "-c", `exec 3<>/dev/tcp/`+hostB+`/`+port+
			`; touch /tmp/open; while [ ! -e /tmp/go ]; do sleep 0.1; done; printf 'GET / HTTP/1.0\r\n\r\n' >&3; head -c 12 <&3`)
		answer <- fmt.Sprint(out, err)
	}()
	labtest.Eventually(t, "the early connection", func() error {
		_, err := lab.TryMotion("exec", "lab-a/node-1", "--", "ls", "/tmp/open")
		return err
	})
	lab.Motion(t, "firewall", "block", "lab-a", "lab-b", "--port", port)
	if dial(lab, "lab-a/node-1", hostB, port) == nil {
		t.Error("the firewall lets lab-a through to lab-b")
	}
	must(t, dial(lab, "lab-a/node-1", hostB, "10250")) // another port
	must(t, dial(lab, "lab-b/node-2", hostA, port))    // the other direction
	lab.Motion(t, "exec", "lab-a/node-1", "--", "touch", "/tmp/go")
	if got := <-answer; !strings.HasPrefix(got, "HTTP/1.0 400") {
		t.Errorf("the connection that was open before got %q", got)
	}
	lab.Motion(t, "firewall", "clear")
	must(t, dial(lab, "lab-a/node-1", hostB, port))
}

func cutAPI(t *testing.T, lab *labtest.Lab) {
	host, port := api(t, lab, "lab-b")
	lab.Motion(t, "api", "cut", "lab-b", "--from", "nodes")
	for _, node := range []string{"lab-b/node-1", "lab-b/node-2"} {
		if dial(lab, node, host, port) == nil {
			t.Errorf("%s still reaches its API server", node)
		}
	}
	lab.Kubectl(t, "lab-b", "get", "nodes")
	must(t, dial(lab, "lab-a/node-1", host, port))
	lab.Motion(t, "api", "restore", "lab-b")
	must(t, dial(lab, "lab-b/node-2", host, port))

	lab.Motion(t, "api", "cut", "lab-b", "--from", "host")
	if _, err := lab.TryKubectl("lab-b", "--request-timeout=3s", "get", "nodes"); err == nil {
		t.Error("the host still reaches the API server")
	}
	must(t, dial(lab, "lab-b/node-2", host, port))
	lab.Motion(t, "heal")
	lab.Kubectl(t, "lab-b", "get", "nodes")
}

func fullDisk(t *testing.T, lab *labtest.Lab) {
	const dir = "/var/local/motion-volumes"
	write := func(size string) error {
		_, err := lab.TryMotion("exec", "lab-b/node-1", "--", "fallocate", "-l", size, dir+"/test")
		return err
	}
	lab.Motion(t, "disk", "fill", "lab-b/node-1", "--leave", "10Mi")
	must(t, write("4M"))
	if write("50M") == nil {
		t.Error("50 MB fit on a disk with 10 MiB left")
	}
	lab.Motion(t, "disk", "fill", "lab-b/node-1")
	if write("12M") == nil {
		t.Error("12 MB fit on a full disk")
	}
	lab.Motion(t, "disk", "free", "lab-b/node-1")
	must(t, write("50M"))
	lab.Motion(t, "exec", "lab-b/node-1", "--", "rm", dir+"/test")
}

// pid is the process id of a component, 0 when it does not run.
func pid(t *testing.T, lab *labtest.Lab, component string) int {
	t.Helper()
	for line := range strings.Lines(lab.Motion(t, "status")) {
		if f := strings.Fields(line); f[0] == component {
			n, err := strconv.Atoi(f[1])
			must(t, err)
			return n
		}
	}
	return 0
}

func stopComponent(t *testing.T, lab *labtest.Lab) {
	lab.Motion(t, "stop", "lab-b/node-2/kubelet")
	if p := pid(t, lab, "lab-b/node-2/kubelet"); p != 0 {
		t.Errorf("the stopped kubelet runs as process %d", p)
	}
	if out, err := lab.TryMotion("stop", "lab-b/kubelet"); err == nil || !strings.Contains(out, "several nodes") {
		t.Errorf("an ambiguous name was not refused: %v: %s", err, out)
	}
	lab.Motion(t, "start", "lab-b/node-2/kubelet")
	labtest.Eventually(t, "the started kubelet", func() error {
		if pid(t, lab, "lab-b/node-2/kubelet") == 0 {
			return fmt.Errorf("does not run")
		}
		return nil
	})
}

func killComponent(t *testing.T, lab *labtest.Lab) {
	old := pid(t, lab, "lab-a/node-1/kube-apiserver")
	lab.Motion(t, "restart", "lab-a/kube-apiserver")
	labtest.Eventually(t, "the API server", func() error {
		if p := pid(t, lab, "lab-a/node-1/kube-apiserver"); p == 0 || p == old {
			return fmt.Errorf("process %d, was %d", p, old)
		}
		_, err := lab.TryKubectl("lab-a", "get", "nodes")
		return err
	})
}

func switchNodeOff(t *testing.T, lab *labtest.Lab) {
	lab.Apply(t, "lab-b-blue", `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept-raw}
spec: {accessModes: [ReadWriteOnce], volumeMode: Block, storageClassName: lab-block, resources: {requests: {storage: 8Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: kept}
spec:
  nodeSelector: {kubernetes.io/hostname: lab-b-node-2}
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: lab/tools:1
    command: [sleep, "100000"]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data}]
    volumeDevices: [{name: raw, devicePath: /dev/raw}]
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: kept}}
  - {name: raw, persistentVolumeClaim: {claimName: kept-raw}}
`)
	lab.Kubectl(t, "lab-b-blue", "wait", "--for=condition=Ready", "--timeout=90s", "pod/kept")
	lab.Kubectl(t, "lab-b-blue", "exec", "kept", "--", "sh", "-c", "echo still here > /data/file; sync /data/file; "+
		"printf 'raw too\\n' | dd of=/dev/raw conv=notrunc,fsync")
	lab.Motion(t, "stop", "lab-b/node-2")
	if _, err := lab.TryMotion("exec", "lab-b/node-2", "--", "true"); err == nil {
		t.Error("a command ran on the node that is off")
	}
	lab.Motion(t, "up")
	readsItsData(t, lab)
}

// readsItsData waits until the pod of switchNodeOff runs again and finds what it wrote.
func readsItsData(t *testing.T, lab *labtest.Lab) {
	t.Helper()
	labtest.Eventually(t, "the pod with its data", func() error {
		out, err := lab.TryKubectl("lab-b-blue", "exec", "kept", "--", "sh", "-c", "cat /data/file; head -c 8 /dev/raw")
		return labtest.Said(out, err, "still here\nraw too\n")
	})
}

func killRouter(t *testing.T, lab *labtest.Lab) {
	must(t, syscall.Kill(pid(t, lab, "lab-b/router"), syscall.SIGKILL))
	labtest.Eventually(t, "the cluster behind the router", func() error {
		_, err := lab.TryKubectl("lab-b", "--request-timeout=2s", "get", "nodes")
		return err
	})
	lab.Motion(t, "up")
	host, port := api(t, lab, "lab-b")
	must(t, dial(lab, "lab-a/node-1", host, port))
}

// kill kills the supervisor, and waits until the kernel has buried it.
func kill(t *testing.T, lab *labtest.Lab) {
	t.Helper()
	node := pid(t, lab, "lab-a/node-1")
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", node))
	must(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	must(t, err)
	must(t, syscall.Kill(parent, syscall.SIGKILL))
	labtest.Eventually(t, "the supervisor's death", func() error {
		if _, err := lab.TryMotion("status"); err == nil {
			return fmt.Errorf("it still answers")
		}
		return nil
	})
}

func killSupervisor(t *testing.T, lab *labtest.Lab) {
	lab.Kubectl(t, "lab-a-blue", "create", "configmap", "memory", "--from-literal=a=b")
	kill(t, lab)
	lab.Motion(t, "up")
	if got := lab.Kubectl(t, "lab-a-blue", "get", "configmap", "memory", "-o", "jsonpath={.data.a}"); got != "b" {
		t.Errorf("the ConfigMap holds %q", got)
	}
	readsItsData(t, lab)
}

// brokenProgram starts the lab with a Kubernetes that only complains.
func brokenProgram(lab *labtest.Lab) func(*testing.T) {
	return func(t *testing.T) {
		lab.Motion(t, "down")
		programs := t.TempDir()
		for _, file := range lab.Programs(t) {
			must(t, os.Symlink(file, filepath.Join(programs, filepath.Base(file))))
		}
		kubernetes := filepath.Join(programs, "kubernetes-1.36")
		must(t, os.Remove(kubernetes))
		must(t, os.WriteFile(kubernetes, []byte("#!/bin/sh\necho \"$1 has a bad day\" >&2\nexit 7\n"), 0o755))
		out, err := lab.TryMotion("up", "--programs", programs, "--timeout", "15s")
		if err == nil {
			t.Error("a lab without Kubernetes came up")
		}
		for _, want := range []string{
			"lab-a: waited for the API server to answer", "lab-b/node-2/kubelet: exit status 7",
			"kube-scheduler: waits:", "etcd has a bad day",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the report does not say %q:\n%s", want, out)
			}
		}
	}
}

func killUp(t *testing.T, lab *labtest.Lab) {
	lab.Motion(t, "down")
	labtest.InterruptedUp(t, lab, filepath.Join(lab.Dir, "run", "supervisor.sock"))
	lab.Motion(t, "up")
	lab.Kubectl(t, "lab-b", "get", "nodes")
}
