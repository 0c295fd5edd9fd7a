// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// exportFlags are the flags about exporting.
type exportFlags struct {
	dir     string
	secrets bool
	// admin is a file for what an administrator of the target has to create.
	admin string
}

// writeAdmin writes the objects of all plans that need an administrator of the
// target to one file, and prints the command that creates them.
func (e exportFlags) writeAdmin(plans []*plan.Plan, stderr io.Writer) error {
	if e.admin == "" {
		return nil
	}
	var text []byte
	n, written := 0, map[string]bool{}
	for _, p := range plans {
		for _, m := range p.Manifests {
			doc, err := yaml.Marshal(withoutSource(&unstructured.Unstructured{Object: m}).Object)
			if err != nil {
				return err
			}
			if written[string(doc)] {
				continue
			}
			written[string(doc)] = true
			text = append(append(text, "---\n"...), doc...)
			n++
		}
	}
	if n == 0 {
		fmt.Fprintln(stderr, "no object needs an administrator, no file written")
		return nil
	}
	if err := os.WriteFile(e.admin, text, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%s written; ask an administrator of %s to run: kubectl apply --server-side -f %s\n",
		counted(n, "object", "objects"), progress.Escape(plans[0].Target.Cluster), e.admin)
	return nil
}

// withoutSource returns a copy without the annotation kubectl-motion.dev/source.
func withoutSource(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	annotations := u.GetAnnotations()
	delete(annotations, v1alpha1.AnnotationSource)
	if len(annotations) == 0 {
		annotations = nil
	}
	u.SetAnnotations(annotations)
	return u
}

// write writes the objects of a plan as a kustomization: one file each, as they are
// once activated and without the annotation kubectl-motion.dev/source. With several
// namespaces each gets a directory. Objects that need an administrator are a
// kustomization of their own. Files are readable by their owner only.
func (e exportFlags) write(p *plan.Plan, several bool, talk io.Writer) error {
	if e.dir == "" {
		return nil
	}
	dir := e.dir
	if several {
		dir = filepath.Join(dir, p.Source.Namespace)
	}
	main := newKustomization(dir)
	admin := newKustomization(filepath.Join(dir, "needs-admin"))
	left := 0
	for _, i := range p.Items {
		secret := i.Source.Group == "" && i.Source.Kind == "Secret"
		switch {
		case i.Verdict != inventory.Move:
			continue
		case secret && !e.secrets:
			left++
			continue
		}
		u, err := i.Active()
		if err != nil {
			return err
		}
		if err := main.add(u); err != nil {
			return err
		}
	}
	for _, m := range p.Manifests {
		if err := admin.add(&unstructured.Unstructured{Object: m}); err != nil {
			return err
		}
	}
	if left > 0 {
		fmt.Fprintln(talk, progress.Escape(fmt.Sprintf("%d Secrets of %s are not exported; use --export-secrets to write them with their values", left, p.Source.Namespace)))
	}
	if err := main.close(); err != nil {
		return err
	}
	return admin.close()
}

// kustomization is a directory that is being written. It is created with its first
// object.
type kustomization struct {
	dir   string
	files []string
	taken map[string]bool
}

func newKustomization(dir string) *kustomization {
	return &kustomization{dir: dir, taken: map[string]bool{}}
}

func (k *kustomization) add(u *unstructured.Unstructured) error {
	u = withoutSource(u)
	text, err := yaml.Marshal(u.Object)
	if err != nil {
		return err
	}
	name := k.name(u)
	k.files = append(k.files, name)
	return k.put(name, text)
}

// name returns a name that is unique in the directory, also on file systems that ignore case.
func (k *kustomization) name(u *unstructured.Unstructured) string {
	gk := u.GroupVersionKind().GroupKind()
	base := strings.ToLower(gk.Kind)
	if !inventory.BuiltIn(gk.Group) {
		base += "." + gk.Group
	}
	base = fileName(base + "-" + u.GetName())
	name := base + ".yaml"
	for i := 2; k.taken[name]; i++ {
		name = fmt.Sprintf("%s-%d.yaml", base, i)
	}
	k.taken[name] = true
	return name
}

// fileName replaces characters that some file systems reject; names of RBAC
// objects may have colons.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, s)
	return s[:min(len(s), 200)]
}

func (k *kustomization) put(name string, text []byte) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(k.dir, name), text, 0o600)
}

func (k *kustomization) close() error {
	if len(k.files) == 0 {
		return nil
	}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": k.files,
	})
	if err != nil {
		return err
	}
	return k.put("kustomization.yaml", text)
}
