// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

func TestTheFirstNodeRunsTheControlPlaneAndEveryNodeTheRest(t *testing.T) {
	lab := topology.New(t.TempDir(), 0, topology.Default())
	everywhere := []string{"containerd", "kubelet", "kube-proxy", "provisioner", "csi", "csi-snapshotter"}
	first := append([]string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "snapshot-controller"}, everywhere...)
	for node, want := range map[string][]string{"lab-a/node-1": first, "lab-b/node-1": first, "lab-b/node-2": everywhere} {
		processes, err := Processes(lab, lab.Node(node))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range processes {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s runs %v, want %v", node, got, want)
		}
	}
}

func TestConfigurationFilesAreWellFormedAndOfTheNode(t *testing.T) {
	lab := topology.New(t.TempDir(), 2, topology.Default())
	n := lab.Node("lab-b/node-2")
	if _, err := Processes(lab, n); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(n.Dir(), "etc", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var kubelet, proxy, cni map[string]any
	if err := yaml.UnmarshalStrict(read("kubelet.yaml"), &kubelet); err != nil {
		t.Error(err)
	}
	if kubelet["cgroupRoot"] != "/motion-lab-2/lab-b-node-2" {
		t.Errorf("the kubelet's cgroup is %v", kubelet["cgroupRoot"])
	}
	if err := yaml.UnmarshalStrict(read("kube-proxy.yaml"), &proxy); err != nil {
		t.Error(err)
	}
	if proxy["clusterCIDR"] != n.Cluster.PodNetwork() {
		t.Errorf("kube-proxy's cluster is %v", proxy["clusterCIDR"])
	}
	if err := json.Unmarshal(read("cni/10-lab.conflist"), &cni); err != nil {
		t.Error(err)
	}
	if text := string(read("cni/10-lab.conflist")); !strings.Contains(text, n.PodNetwork()) {
		t.Errorf("the pods' network is not %s:\n%s", n.PodNetwork(), text)
	}
	if text := string(read("containerd.toml")); !strings.Contains(text, SandboxImage) || strings.Contains(text, "{{") {
		t.Errorf("containerd's configuration:\n%s", text)
	}
}
