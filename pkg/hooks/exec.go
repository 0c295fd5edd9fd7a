// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// On runs commands in pods of a namespace, as `kubectl exec` does and with the same
// right: create on pods/exec. A command that does not end in time is left alone in its
// container, because nothing in the API ends it; only its outcome is no longer waited
// for.
func On(c *cluster.Cluster, namespace string) Exec {
	return func(ctx context.Context, pod Pod, container string, command []string) (string, error) {
		now, err := c.Kube.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if string(now.UID) != pod.UID {
			return "", fmt.Errorf("pod %s was replaced by another pod of the same name", pod.Name)
		}
		url := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod.Name).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
		modern, err := remotecommand.NewWebSocketExecutor(c.Config, http.MethodGet, url.String())
		if err != nil {
			return "", err
		}
		old, err := remotecommand.NewSPDYExecutor(c.Config, http.MethodPost, url)
		if err != nil {
			return "", err
		}
		e, err := remotecommand.NewFallbackExecutor(modern, old, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
		if err != nil {
			return "", err
		}
		out := &tail{}
		err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out, Stderr: out})
		return out.String(), err
	}
}

// tail keeps the end of what is written to it, by several goroutines.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - 4*maxOutput; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
