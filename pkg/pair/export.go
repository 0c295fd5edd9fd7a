// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Export is every object that should be on a cluster as one YAML stream, for a
// tool that applies it. Objects that hold a token are left out: a comment says how it
// is made.
func (p *Pairing) Export(d *Diff, on *cluster.Cluster) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# For cluster %s, made by kubectl motion pair %s --export.\n", on.Name, p.Request.Name)
	for _, i := range d.items {
		if i.on != on || i.secret {
			continue
		}
		o := i.object.DeepCopy()
		for _, field := range []string{"resourceVersion", "uid", "generation", "managedFields", "creationTimestamp"} {
			unstructured.RemoveNestedField(o.Object, "metadata", field)
		}
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i, err)
		}
		fmt.Fprintf(&b, "---\n%s", text)
	}
	for _, m := range p.Request.Namespaces {
		if on == p.Source {
			fmt.Fprintf(&b, "# The Secrets with the credential of namespace %s are not exported. When everything here is applied on both clusters:\n"+
				"#   kubectl motion pair renew %s -n %s --context %s --to-context %s\n", m.Source, p.Request.Name, m.Source, p.Source, p.Target)
		}
	}
	return b.Bytes(), nil
}
