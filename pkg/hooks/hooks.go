// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package hooks runs an application's own commands around a snapshot, so that the
// snapshot is consistent for the application and not only after a crash.
//
// A hook is a command in a container of a pod, run by exec with the rights of
// the user who migrates. It is set in annotations of the pod (of the pod template of a
// workload), or was given by flag with a selector for pods:
//
//	kubectl-motion.dev/pre-snapshot-command:   '["/bin/sh","-c","fsfreeze -f /data"]'
//	kubectl-motion.dev/pre-snapshot-container: db         (default: the first container)
//	kubectl-motion.dev/pre-snapshot-timeout:   30s        (default 30s, at most 10m)
//	kubectl-motion.dev/pre-snapshot-on-error:  Fail       (default; or Continue)
//
// and the same with post-snapshot. A pod that has a hook by flag has none by its
// annotations: what was typed counts.
//
// # What is promised
//
//   - The snapshot is made after every pre hook has ended, and is
//     application-consistent only when every one of them succeeded.
//   - When a pre hook has begun, the post hook of its pod runs: after success, after
//     failure of either, after an interrupt (with time of its own), and after the
//     plugin was killed, by the next run. For that it is recorded before.
//   - The record names pod, UID, container and the digest of the post hook's
//     command, and never the command itself: a user who may write a Migration must not
//     thereby say what others run. The next run finds the command where this one
//     found it, or says that it did not.
//
// What a post hook fails with is reported; it never undoes a snapshot.
package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Phase is when a hook runs.
type Phase string

// Phases. Their names are the annotations' prefixes.
const (
	Pre  Phase = "pre-snapshot"
	Post Phase = "post-snapshot"
)

// OnError is what a failing hook means.
type OnError string

// Policies.
const (
	// Fail makes no snapshot.
	Fail OnError = "Fail"
	// Continue makes one that is no more than crash-consistent.
	Continue OnError = "Continue"
)

// Bounds of a hook's time.
const (
	DefaultTimeout = 30 * time.Second
	MaxTimeout     = 10 * time.Minute
)

// Hook is one command.
type Hook struct {
	Container string          `json:"container"`
	Command   []string        `json:"command"`
	Timeout   metav1.Duration `json:"timeout"`
	OnError   OnError         `json:"onError"`
}

// Digest identifies the command without telling it.
func (h *Hook) Digest() string {
	text, err := json.Marshal(append([]string{h.Container}, h.Command...))
	if err != nil {
		return "" // strings always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Pod is a pod with hooks.
type Pod struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	// Pre or Post may be nil, never both.
	Pre  *Hook `json:"pre,omitempty"`
	Post *Hook `json:"post,omitempty"`
}

// annotation is the name of an annotation of a phase: command, container, timeout
// or on-error.
func annotation(p Phase, what string) string {
	return v1alpha1.GroupName + "/" + string(p) + "-" + what
}

// Of returns the hooks of those pods that have some: by a rule, or else by their
// annotations. Pods that do not run have none. The errors name the pod and what is
// wrong with its annotations or rules; every such pod has one.
func Of(pods []corev1.Pod, rules []Rule) ([]Pod, []error) {
	var out []Pod
	var wrong []error
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			continue
		}
		found := Pod{Name: p.Name, UID: string(p.UID)}
		err := errors.Join(found.byRules(p, rules))
		if err == nil && found.Pre == nil && found.Post == nil {
			err = found.byAnnotations(p)
		}
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("pod %s: %w", p.Name, err))
		case found.Pre != nil || found.Post != nil:
			out = append(out, found)
		}
	}
	return out, wrong
}

func (f *Pod) byAnnotations(p *corev1.Pod) (err error) {
	if f.Pre, err = annotated(p, Pre); err != nil {
		return err
	}
	f.Post, err = annotated(p, Post)
	return err
}

func annotated(p *corev1.Pod, phase Phase) (*Hook, error) {
	text, ok := p.Annotations[annotation(phase, "command")]
	if !ok {
		return nil, nil //nolint:nilnil // no hook is the usual case and no error
	}
	h := &Hook{Container: p.Annotations[annotation(phase, "container")], Timeout: metav1.Duration{Duration: DefaultTimeout}, OnError: Fail}
	if err := json.Unmarshal([]byte(text), &h.Command); err != nil || len(h.Command) == 0 || h.Command[0] == "" {
		return nil, fmt.Errorf("annotation %s: must be a JSON array of strings, such as [\"/bin/sync\"]", annotation(phase, "command"))
	}
	if s := p.Annotations[annotation(phase, "timeout")]; s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || d > MaxTimeout {
			return nil, fmt.Errorf("annotation %s: must be a duration above 0 and at most %s, such as 30s", annotation(phase, "timeout"), MaxTimeout)
		}
		h.Timeout.Duration = d
	}
	if s := p.Annotations[annotation(phase, "on-error")]; s != "" {
		h.OnError = OnError(s)
		if h.OnError != Fail && h.OnError != Continue {
			return nil, fmt.Errorf("annotation %s: want %s or %s", annotation(phase, "on-error"), Fail, Continue)
		}
	}
	return h, h.place(p)
}

// place finds the container; without a name it is the first. An application whose
// image has nothing that a hook could run has it run beside itself: in a sidecar, or in
// an ephemeral container that was added to the running pod.
func (h *Hook) place(p *corev1.Pod) error {
	for i := range p.Spec.Containers {
		name := p.Spec.Containers[i].Name
		if h.Container == "" || h.Container == name {
			h.Container = name
			return nil
		}
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.Name == h.Container && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			return nil
		}
	}
	for i := range p.Spec.EphemeralContainers {
		if p.Spec.EphemeralContainers[i].Name == h.Container {
			return nil
		}
	}
	return fmt.Errorf("container %q of the hook not found", h.Container)
}
