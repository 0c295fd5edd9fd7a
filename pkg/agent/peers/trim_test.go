// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTrim(t *testing.T) {
	fat := strings.Repeat("x", 250<<10)
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kubectl-motion.dev/v1alpha1", "kind": "VolumeShipment",
		"metadata": map[string]any{
			"namespace": "shop", "name": "data", "uid": "u-1", "resourceVersion": "7",
			"annotations": map[string]any{"a": fat}, "labels": map[string]any{"l": fat}, "finalizers": []any{fat},
			"managedFields": []any{map[string]any{"manager": fat}},
		},
		"spec": map[string]any{
			"role": "Send", "claimName": "data", "copyMethod": "Snapshot", "nodeName": "node-1",
			"snapshot": map[string]any{"claimName": "clone"},
			"peer":     map[string]any{"addresses": []any{fat}},
		},
		"status": map[string]any{"nodeName": "node-1", "conditions": []any{map[string]any{"message": fat}}},
	}}
	got, err := Trim(u)
	if err != nil {
		t.Fatal(err)
	}
	data, err := got.(*unstructured.Unstructured).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 1<<10 {
		t.Errorf("a trimmed shipment has %d bytes", len(data))
	}
	for _, want := range []string{`"uid":"u-1"`, `"resourceVersion":"7"`, `"claimName":"clone"`, `"role":"Send"`, `"nodeName":"node-1"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is missing: %s", want, data)
		}
	}
	if got, err := Trim("not an object"); err != nil || got != "not an object" {
		t.Errorf("%v, %v", got, err)
	}
}
