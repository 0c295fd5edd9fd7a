// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// TestInvocation: a printed command names the same clusters and namespaces as the
// command that printed it.
func TestInvocation(t *testing.T) {
	config := genericclioptions.NewConfigFlags(true)
	*config.KubeConfig, *config.Context, *config.BearerToken = "a.yaml", "east", "secret"
	f := NewTargetFlags(config)
	f.ToContext, f.ToKubeconfig, f.ToNamespace = "west", "b.yaml", "red"
	want := "kubectl motion activate --kubeconfig a.yaml --context east --to-context west --to-kubeconfig b.yaml -n shop --to-namespace red --name trial"
	if got := f.Invocation("shop", "trial").Command("activate"); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
