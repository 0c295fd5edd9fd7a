// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package invocation

import "testing"

func TestCommand(t *testing.T) {
	for name, c := range map[string]struct {
		in   Invocation
		want string
	}{
		"a pair and a namespace": {
			Invocation{Namespace: "shop", To: "west"},
			"kubectl motion activate --to west -n shop",
		},
		"every flag that names an end": {
			Invocation{
				Kubeconfig: "/home/a b/config", Context: "east", As: "ann", AsGroups: []string{"dev"}, Namespace: "shop",
				ToContext: "west", ToKubeconfig: "w.yaml", ToNamespace: "red", Name: "trial",
			},
			"kubectl motion activate --kubeconfig '/home/a b/config' --context east --as ann --as-group dev " +
				"--to-context west --to-kubeconfig w.yaml -n shop --to-namespace red --name trial",
		},
		"a name that a shell would run": {
			Invocation{Namespace: "shop", ToContext: "$(id)'"},
			`kubectl motion activate --to-context '$(id)'\''' -n shop`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.in.Command("activate"); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
	if got := (Invocation{Namespace: "shop", To: "west"}).Command("migrate", "--cutover"); got != "kubectl motion migrate --to west -n shop --cutover" {
		t.Error(got)
	}
}
