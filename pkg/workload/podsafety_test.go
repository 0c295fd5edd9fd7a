// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// TestRestoredPods: a rollback creates no pod with power over its node, because the
// manifest is in a status that users of the namespace can write. Such a pod is rejected
// before the stop, too.
func TestRestoredPods(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want bool
	}{
		"an ordinary pod":          {`{"containers":[{"name":"c","image":"i","securityContext":{"runAsUser":0,"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}}}]}`, true},
		"the host's processes":     {`{"hostPID":true,"containers":[{"name":"c","image":"i"}]}`, false},
		"the host's network":       {`{"hostNetwork":true,"containers":[{"name":"c","image":"i"}]}`, false},
		"a path of the host":       {`{"containers":[{"name":"c","image":"i"}],"volumes":[{"name":"h","hostPath":{"path":"/"}}]}`, false},
		"a privileged container":   {`{"containers":[{"name":"c","image":"i","securityContext":{"privileged":true}}]}`, false},
		"a privileged init":        {`{"initContainers":[{"name":"i","image":"i","securityContext":{"privileged":true}}],"containers":[{"name":"c","image":"i"}]}`, false},
		"more capabilities":        {`{"containers":[{"name":"c","image":"i","securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}]}`, false},
		"a port of the host":       {`{"containers":[{"name":"c","image":"i","ports":[{"containerPort":1,"hostPort":1}]}]}`, false},
		"an unconfined container":  {`{"containers":[{"name":"c","image":"i","securityContext":{"seccompProfile":{"type":"Unconfined"}}}]}`, false},
		"a named node in a record": {`{"nodeName":"control-plane","containers":[{"name":"c","image":"i"}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"shop"},"spec":` + c.spec + `}`
			_, err := recordedPod("shop", v1alpha1.StoppedWorkload{Version: "v1", Kind: "Pod", Name: "x", OriginalState: state})
			if (err == nil) != c.want {
				t.Errorf("created by a rollback: %v, want %v (%v)", err == nil, c.want, err)
			}
			if name == "a named node in a record" {
				return // the node of a running pod is not recorded
			}
			pod := &unstructured.Unstructured{}
			if err := json.Unmarshal([]byte(state), &pod.Object); err != nil {
				t.Fatal(err)
			}
			if _, err := recorded(pod); (err == nil) != c.want {
				t.Errorf("stopped by a cutover: %v, want %v (%v)", err == nil, c.want, err)
			}
		})
	}
}
