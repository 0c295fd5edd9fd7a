// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

// Exec runs a command in a container of a pod and returns what it printed. It fails
// when the pod of that name has another UID.
type Exec func(ctx context.Context, pod Pod, container string, command []string) (output string, err error)

// Runner runs hooks.
type Runner struct {
	Exec Exec
	// Record keeps what has begun beyond the life of the plugin. It is called before
	// the first pre hook, and when the last post hook has ended with those that failed.
	Record func(context.Context, []v1alpha1.BegunHook) error
	// Report is called for each hook as it ends; may be nil.
	Report func(pod Pod, phase Phase, err error)
}

// Outcome is what came of the hooks around a snapshot that was made.
type Outcome struct {
	// Consistent: every pod's application was made ready for it.
	Consistent bool
	// After is what post hooks failed with. The snapshot is none the worse for it, and
	// the application may stand still: each error is a PostError.
	After error
}

// Around takes a snapshot with take, between the hooks of pods. Also after a failure the post
// hooks of all pods whose pre hook may have begun have run when Around returns. The
// error is about the pre hooks and take; without one there is a snapshot.
func (r *Runner) Around(ctx context.Context, pods []Pod, take func(context.Context) error) (Outcome, error) {
	if len(pods) == 0 {
		return Outcome{}, take(ctx)
	}
	if err := r.Record(ctx, begun(pods)); err != nil {
		return Outcome{}, fmt.Errorf("no hook was run, because the hooks cannot be recorded: %w", err)
	}
	consistent, err := r.before(ctx, pods)
	if err == nil {
		err = take(ctx)
	}
	after := r.after(ctx, pods)
	if err != nil {
		return Outcome{}, errors.Join(err, after)
	}
	return Outcome{Consistent: consistent, After: after}, nil
}

// before runs the pre hooks, all at once: the pods of one application are to stand
// still for as short as possible, and together.
func (r *Runner) before(ctx context.Context, pods []Pod) (consistent bool, err error) {
	results := r.all(ctx, pods, Pre)
	consistent = true
	var fatal []error
	for i, e := range results {
		h := pods[i].Pre
		// A post hook alone makes nothing consistent.
		consistent = consistent && h != nil && e == nil
		if e != nil && h.OnError == Fail {
			fatal = append(fatal, hint.New(fmt.Errorf("%s hook of pod %s: %w", Pre, pods[i].Name, e), "to continue without this hook, set the annotation %s: %s", annotation(Pre, "on-error"), Continue))
		}
	}
	return consistent, errors.Join(fatal...)
}

// after runs the post hooks, also when ctx has ended, and then forgets the record but
// for those that failed: the next run tries them again.
func (r *Runner) after(ctx context.Context, pods []Pod) error {
	ctx = context.WithoutCancel(ctx) // each hook has its own time
	var failed []error
	var left []Pod
	for i, e := range r.all(ctx, pods, Post) {
		if e != nil {
			failed = append(failed, &PostError{Pod: pods[i].Name, Hook: *pods[i].Post, Err: e})
			left = append(left, pods[i])
		}
	}
	if err := r.Record(ctx, begun(left)); err != nil {
		failed = append(failed, fmt.Errorf("recording the hooks: %w", err))
	}
	return errors.Join(failed...)
}

// all runs the hooks of one phase and returns their errors by pod.
func (r *Runner) all(ctx context.Context, pods []Pod, phase Phase) []error {
	out := make([]error, len(pods))
	var work sync.WaitGroup
	for i := range pods {
		if h := pods[i].hook(phase); h != nil {
			work.Go(func() { out[i] = r.one(ctx, pods[i], h) })
		}
	}
	work.Wait()
	if r.Report != nil {
		for i := range pods {
			if pods[i].hook(phase) != nil {
				r.Report(pods[i], phase, out[i])
			}
		}
	}
	return out
}

func (f *Pod) hook(phase Phase) *Hook {
	if phase == Pre {
		return f.Pre
	}
	return f.Post
}

// maxOutput of a hook that failed is shown.
const maxOutput = 512

func (r *Runner) one(ctx context.Context, pod Pod, h *Hook) error {
	timed, cancel := context.WithTimeoutCause(ctx, h.Timeout.Duration, fmt.Errorf("timed out after %s", h.Timeout.Duration))
	defer cancel()
	output, err := r.Exec(timed, pod, h.Container, h.Command)
	if err == nil {
		return nil
	}
	if cause := context.Cause(timed); cause != nil {
		err = cause
	}
	if output = strings.TrimSpace(output); len(output) > maxOutput {
		output = "…" + output[len(output)-maxOutput:]
	}
	if output != "" {
		err = fmt.Errorf("%w: it printed %q", err, output)
	}
	return err
}

// PostError is a post hook that failed: the application may still stand still.
type PostError struct {
	Pod  string
	Hook Hook
	Err  error
}

func (e *PostError) Error() string {
	return fmt.Sprintf("%s hook of pod %s: %v", Post, e.Pod, e.Err)
}

// Hints has the command, quoted: its words are the pod's annotation.
func (e *PostError) Hints() []string {
	words := append([]string{"kubectl", "exec", e.Pod, "-c", e.Hook.Container, "--"}, e.Hook.Command...)
	return []string{"the application may still be paused; check the hook of the pod, and run it: " + hint.Shell(words...)}
}

// Unwrap gives the cause.
func (e *PostError) Unwrap() error { return e.Err }

// begun is the record of pods with a post hook.
func begun(pods []Pod) []v1alpha1.BegunHook {
	var out []v1alpha1.BegunHook
	for _, p := range pods {
		if p.Post != nil {
			out = append(out, v1alpha1.BegunHook{Pod: p.Name, PodUID: p.UID, Container: p.Post.Container, CommandSHA256: p.Post.Digest()})
		}
	}
	return out
}

// Recover runs the post hooks that an earlier run recorded and did not come to. pods
// are what Of finds now. A pod that is gone took its state with it; one that is there
// and no longer has that hook is an error, and so is one whose hook fails.
func (r *Runner) Recover(ctx context.Context, recorded []v1alpha1.BegunHook, pods []Pod, alive func(podUID string) bool) error {
	if len(recorded) == 0 {
		return nil
	}
	var due []Pod
	var lost []error
	for _, b := range recorded {
		switch p := match(b, pods); {
		case p != nil:
			due = append(due, Pod{Name: p.Name, UID: p.UID, Post: p.Post})
		case alive(b.PodUID):
			lost = append(lost, fmt.Errorf("an earlier run was killed between the snapshot hooks of pod %s, and the pod no longer has that %s hook: "+
				"check whether the application is frozen (container %s)", b.Pod, Post, b.Container))
		}
	}
	return errors.Join(errors.Join(lost...), r.after(ctx, due))
}

func match(b v1alpha1.BegunHook, pods []Pod) *Pod {
	for i := range pods {
		p := &pods[i]
		if p.UID == b.PodUID && p.Post != nil && p.Post.Digest() == b.CommandSHA256 {
			return p
		}
	}
	return nil
}
