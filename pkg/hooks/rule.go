// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Rule is a hook for all pods that a selector chooses.
type Rule struct {
	Phase    Phase
	Selector labels.Selector
	Hook     Hook
	text     string
}

// ParseRule reads SELECTOR:CONTAINER:COMMAND. The selector is a label selector, the
// container may be empty for the first one, and the command is a JSON array of
// strings, or else a line for /bin/sh -c.
func ParseRule(phase Phase, text string) (Rule, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 || parts[0] == "" || strings.TrimSpace(parts[2]) == "" {
		return Rule{}, fmt.Errorf("%q: must be SELECTOR:CONTAINER:COMMAND, such as app=db:postgres:'psql -c CHECKPOINT'", text)
	}
	selector, err := labels.Parse(parts[0])
	if err != nil {
		return Rule{}, fmt.Errorf("%q: its selector: %w", text, err)
	}
	r := Rule{Phase: phase, Selector: selector, text: text, Hook: Hook{Container: parts[1], Timeout: metav1.Duration{Duration: DefaultTimeout}, OnError: Fail}}
	if command := strings.TrimSpace(parts[2]); strings.HasPrefix(command, "[") {
		if err := json.Unmarshal([]byte(command), &r.Hook.Command); err != nil || len(r.Hook.Command) == 0 || r.Hook.Command[0] == "" {
			return Rule{}, fmt.Errorf("%q: a command that begins with [ is a JSON array of strings", text)
		}
		return r, nil
	}
	r.Hook.Command = []string{"/bin/sh", "-c", parts[2]}
	return r, nil
}

// byRules takes the one rule of each phase that chooses the pod.
func (f *Pod) byRules(p *corev1.Pod, rules []Rule) error {
	for _, r := range rules {
		if !r.Selector.Matches(labels.Set(p.Labels)) {
			continue
		}
		into := &f.Pre
		if r.Phase == Post {
			into = &f.Post
		}
		if *into != nil {
			return fmt.Errorf("two %s hooks select it; the second is %q", r.Phase, r.text)
		}
		h := r.Hook
		if err := h.place(p); err != nil {
			return err
		}
		*into = &h
	}
	return nil
}

// Idle returns an error for each rule that chooses none of pods: a selector with a
// mistake in it must not pass for a hook that ran.
func Idle(pods []corev1.Pod, rules []Rule) error {
	var idle []error
	for _, r := range rules {
		used := false
		for i := range pods {
			used = used || r.Selector.Matches(labels.Set(pods[i].Labels))
		}
		if !used {
			idle = append(idle, fmt.Errorf("the %s hook %q selects no running pod", r.Phase, r.text))
		}
	}
	return errors.Join(idle...)
}
