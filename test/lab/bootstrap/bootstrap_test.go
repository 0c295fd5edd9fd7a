// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"testing"

	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

func TestTheFirstObjectsAreWholeAndKeepUsersToTheirNamespaces(t *testing.T) {
	lab := topology.New("/d", 0, topology.Default())
	c := &Cluster{topology: lab.Clusters[1]}
	objects, err := c.render()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]any{}
	for _, o := range objects {
		if o.GetKind() == "" || o.GetAPIVersion() == "" || o.GetName() == "" {
			t.Errorf("an object without kind, version or name: %v", o.Object)
		}
		found[o.GetKind()+"/"+o.GetNamespace()+"/"+o.GetName()] = o.Object
	}
	for _, ns := range Namespaces() {
		if found["Namespace//"+ns] == nil || found["RoleBinding/"+ns+"/"+ns+"-admin"] == nil {
			t.Errorf("namespace %s or its user's rights are missing", ns)
		}
	}
	dns, ok := found["Service/kube-system/kube-dns"]["spec"].(map[string]any)
	if !ok || dns["clusterIP"] != lab.Clusters[1].DNS() {
		t.Errorf("cluster DNS is at %v, want %s", dns["clusterIP"], lab.Clusters[1].DNS())
	}
	for _, class := range []string{"lab-local", "lab-hostpath", "lab-block"} {
		if found["StorageClass//"+class] == nil {
			t.Errorf("class %s is missing", class)
		}
	}
	if found["ClusterRoleBinding//blue-admin"] != nil {
		t.Error("a user has rights in the whole cluster")
	}
}
