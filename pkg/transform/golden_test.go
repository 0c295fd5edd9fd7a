// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenOptions is the first document of a case.
type goldenOptions struct {
	ToNamespace    string            `json:"toNamespace"`
	Standby        bool              `json:"standby"`
	StorageClasses map[string]string `json:"storageClasses"`
	Images         map[string]string `json:"images"`
	LoadBalancers  LoadBalancers     `json:"loadBalancers"`
	IPFamilies     []string          `json:"ipFamilies"`
	Services       []string          `json:"services"`
	Target         string            `json:"target"`
	Patches        string            `json:"patches"`
}

// result is what a golden file holds.
type result struct {
	Object  map[string]any `json:"object"`
	Changes []Change       `json:"changes,omitempty"`
}

// TestEveryKindIsRewrittenAsItsGoldenFileSays runs testdata/*.yaml: a document of
// options, then an object as an API server returns it. The golden file has the
// object for the target and what is different about it.
func TestEveryKindIsRewrittenAsItsGoldenFileSays(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			opts, in := readCase(t, file)
			before := in.DeepCopy()
			out, changes, err := Object(in, opts)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(before.Object, in.Object); d != "" {
				t.Errorf("the object that came in was changed:\n%s", d)
			}
			got, err := yaml.Marshal(result{Object: out.Object, Changes: changes})
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("differs from %s (-want +got); -update writes it anew:\n%s", golden, d)
			}
		})
	}
}

func readCase(t *testing.T, file string) (Options, *unstructured.Unstructured) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	docs := bytes.SplitN(raw, []byte("\n---\n"), 2)
	if len(docs) != 2 {
		t.Fatalf("%s: want a document of options and an object", file)
	}
	var g goldenOptions
	if err := yaml.UnmarshalStrict(docs[0], &g); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	opts := Options{
		Source: ref.Namespace{ClusterID: "cluster-a", Namespace: "shop"}, Target: ref.Namespace{ClusterID: "cluster-b", Namespace: "shop"},
		Standby: g.Standby, StorageClasses: g.StorageClasses, Images: g.Images, LoadBalancers: g.LoadBalancers,
		IPFamilies: g.IPFamilies, Services: map[string]bool{},
	}
	for _, s := range g.Services {
		opts.Services[s] = true
	}
	if g.ToNamespace != "" {
		opts.Target.Namespace = g.ToNamespace
	}
	if g.Target != "" {
		opts.Target.ClusterID = g.Target
	}
	if g.Patches != "" {
		if opts.Patches, err = ParsePatches("patches.yaml", []byte(g.Patches)); err != nil {
			t.Fatal(err)
		}
	}
	return opts, decode(t, docs[1])
}

// decode reads YAML with the numbers that the API machinery uses.
func decode(t *testing.T, text []byte) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decodeBase64(t *testing.T, s string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func sprint(v any) string { return fmt.Sprint(v) }
