// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"bytes"
	"embed"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed templates
var templates embed.FS

// facts is what the templates speak about.
type facts struct {
	Node, Cgroup, DNS     string
	NodePods, ClusterPods string
	PKI, Etc, CNI, Socket string
	SandboxImage          string
}

// writeConfigs renders every template into the node's etc folder.
func (b *builder) writeConfigs() error {
	c := b.n.Cluster
	values := facts{
		Node: b.n.Name(), Cgroup: b.n.Cgroup(), DNS: c.DNS(),
		NodePods: b.n.PodNetwork(), ClusterPods: c.PodNetwork(),
		PKI: b.pki, Etc: b.config(""), CNI: b.config("cni"), Socket: ContainerdSocket, SandboxImage: SandboxImage,
	}
	if err := os.MkdirAll(values.CNI, 0o755); err != nil {
		return err
	}
	parsed, err := template.ParseFS(templates, "templates/*")
	if err != nil {
		return err
	}
	for _, t := range parsed.Templates() {
		var text bytes.Buffer
		if err := t.Execute(&text, values); err != nil {
			return err
		}
		file := b.config(t.Name())
		if filepath.Ext(file) == ".conflist" {
			file = filepath.Join(values.CNI, t.Name())
		}
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
