// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

func pod(name string, annotations map[string]string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Annotations: annotations, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "first"}, {Name: "second"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func annotate(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out["kubectl-motion.dev/"+pairs[i]] = pairs[i+1]
	}
	return out
}

func TestAHookIsReadFromThePodsAnnotations(t *testing.T) {
	p := pod("db", annotate("pre-snapshot-command", `["/bin/hold","-f"]`, "pre-snapshot-container", "second",
		"pre-snapshot-timeout", "5s", "pre-snapshot-on-error", "Continue", "post-snapshot-command", `["/bin/release"]`))
	got, wrong := Of([]corev1.Pod{p, pod("web", nil)}, nil)
	if len(wrong) > 0 || len(got) != 1 {
		t.Fatalf("%v, %v", got, wrong)
	}
	pre, post := got[0].Pre, got[0].Post
	if pre.Container != "second" || !slices.Equal(pre.Command, []string{"/bin/hold", "-f"}) || pre.Timeout.Duration != 5*time.Second || pre.OnError != Continue {
		t.Errorf("pre hook %+v", pre)
	}
	if post.Container != "first" || post.Timeout.Duration != DefaultTimeout || post.OnError != Fail {
		t.Errorf("post hook %+v", post)
	}
}

func TestAMistakeInAnAnnotationIsSaidAndTheHookNotLeftOut(t *testing.T) {
	for name, a := range map[string]map[string]string{
		"a line instead of an array": annotate("pre-snapshot-command", "/bin/hold -f"),
		"an empty array":             annotate("pre-snapshot-command", "[]"),
		"no such container":          annotate("pre-snapshot-command", `["x"]`, "pre-snapshot-container", "third"),
		"no duration":                annotate("pre-snapshot-command", `["x"]`, "pre-snapshot-timeout", "30"),
		"a duration without end":     annotate("pre-snapshot-command", `["x"]`, "pre-snapshot-timeout", "2h"),
		"no policy":                  annotate("post-snapshot-command", `["x"]`, "post-snapshot-on-error", "Ignore"),
	} {
		t.Run(name, func(t *testing.T) {
			got, wrong := Of([]corev1.Pod{pod("db", a)}, nil)
			if len(got) != 0 || len(wrong) != 1 || !strings.Contains(wrong[0].Error(), "pod db") {
				t.Errorf("%v, %v", got, wrong)
			}
		})
	}
}

func rule(t *testing.T, phase Phase, text string) Rule {
	t.Helper()
	r, err := ParseRule(phase, text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatWasTypedCountsAndNotTheAnnotations(t *testing.T) {
	p := pod("db", annotate("pre-snapshot-command", `["/annotated"]`, "post-snapshot-command", `["/annotated"]`))
	rules := []Rule{rule(t, Pre, "app=db:second:psql -c 'select a:b'")}
	got, wrong := Of([]corev1.Pod{p}, rules)
	if len(wrong) > 0 || len(got) != 1 || got[0].Post != nil {
		t.Fatalf("%+v, %v", got, wrong)
	}
	if h := got[0].Pre; h.Container != "second" || !slices.Equal(h.Command, []string{"/bin/sh", "-c", "psql -c 'select a:b'"}) {
		t.Errorf("%+v", h)
	}
	if h := rule(t, Pre, `app in (a,b)::["/bin/x","a:b"]`).Hook; !slices.Equal(h.Command, []string{"/bin/x", "a:b"}) {
		t.Errorf("%+v", h)
	}
	if Idle([]corev1.Pod{p}, rules) != nil || Idle([]corev1.Pod{pod("web", nil)}, rules) == nil {
		t.Error("a hook that chooses no pod is not told from one that does")
	}
	for _, bad := range []string{"app=db", "app=db:c", ":c:x", "app=db:c: ", "app in (a:c:x", "app=db:c:[not json"} {
		if _, err := ParseRule(Pre, bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// stage records what happens, in order.
type stage struct {
	mu       sync.Mutex
	log      []string
	fail     map[string]error
	recorded []v1alpha1.BegunHook
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *stage) runner() *Runner {
	return &Runner{
		Exec: func(ctx context.Context, p Pod, _ string, command []string) (string, error) {
			s.note("%s %s", p.Name, command[0])
			err := s.fail[command[0]]
			if errors.Is(err, context.DeadlineExceeded) {
				<-ctx.Done()
				return "still at it", ctx.Err()
			}
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "output", err
		},
		Record: func(_ context.Context, b []v1alpha1.BegunHook) error {
			s.note("record %d", len(b))
			s.recorded = b
			return s.fail["record"]
		},
	}
}

func hooked(name string, policy OnError) Pod {
	return Pod{
		Name: name, UID: "uid-" + name, Pre: &Hook{Container: "c", Command: []string{"hold"}, Timeout: metav1.Duration{Duration: time.Minute}, OnError: policy},
		Post: &Hook{Container: "c", Command: []string{"release"}, Timeout: metav1.Duration{Duration: time.Minute}, OnError: Fail},
	}
}

func (s *stage) around(ctx context.Context, pods ...Pod) (bool, error) {
	o, err := s.runner().Around(ctx, pods, func(context.Context) error { s.note("snapshot"); return s.fail["snapshot"] })
	if err != nil && o != (Outcome{}) {
		return o.Consistent, errors.New("an outcome with an error")
	}
	return o.Consistent, errors.Join(err, o.After)
}

func (s *stage) want(t *testing.T, log ...string) {
	t.Helper()
	if !slices.Equal(s.log, log) {
		t.Errorf("happened %q, want %q", s.log, log)
	}
}

func TestTheSnapshotIsMadeBetweenTheHooksWhichAreRecordedFirst(t *testing.T) {
	s := &stage{}
	consistent, err := s.around(t.Context(), hooked("a", Fail))
	if err != nil || !consistent {
		t.Errorf("consistent %v, %v", consistent, err)
	}
	s.want(t, "record 1", "a hold", "snapshot", "a release", "record 0")
}

func TestWithoutHooksASnapshotIsNotApplicationConsistent(t *testing.T) {
	s := &stage{}
	if consistent, err := s.around(t.Context()); consistent || err != nil {
		t.Errorf("consistent %v, %v", consistent, err)
	}
	s.want(t, "snapshot")
}

func TestAPreHookThatFailsMakesNoSnapshotAndIsFollowedByThePostHook(t *testing.T) {
	s := &stage{fail: map[string]error{"hold": errors.New("exit status 3")}}
	consistent, err := s.around(t.Context(), hooked("a", Fail))
	if consistent || err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "output") {
		t.Errorf("consistent %v, %v", consistent, err)
	}
	s.want(t, "record 1", "a hold", "a release", "record 0")
}

func TestAPreHookThatMayFailLeavesASnapshotThatIsNotApplicationConsistent(t *testing.T) {
	s := &stage{fail: map[string]error{"hold": errors.New("exit status 3")}}
	consistent, err := s.around(t.Context(), hooked("a", Continue))
	if consistent || err != nil {
		t.Errorf("consistent %v, %v", consistent, err)
	}
	s.want(t, "record 1", "a hold", "snapshot", "a release", "record 0")
}

func TestThePostHookRunsAfterASnapshotThatFailed(t *testing.T) {
	s := &stage{fail: map[string]error{"snapshot": errors.New("no space")}}
	if consistent, err := s.around(t.Context(), hooked("a", Fail)); consistent || err == nil {
		t.Errorf("consistent %v, %v", consistent, err)
	}
	s.want(t, "record 1", "a hold", "snapshot", "a release", "record 0")
}

func TestThePostHookRunsAfterAnInterrupt(t *testing.T) {
	s := &stage{}
	ctx, interrupt := context.WithCancel(t.Context())
	_, err := s.runner().Around(ctx, []Pod{hooked("a", Fail)}, func(ctx context.Context) error {
		interrupt()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*PostError)) {
		t.Errorf("error %v", err)
	}
	s.want(t, "record 1", "a hold", "a release", "record 0")
}

func TestAHookThatDoesNotEndInTimeIsAnError(t *testing.T) {
	s := &stage{fail: map[string]error{"hold": context.DeadlineExceeded}}
	p := hooked("a", Fail)
	p.Pre.Timeout.Duration = time.Millisecond
	_, err := s.around(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "timed out after 1ms") {
		t.Errorf("error %v", err)
	}
	s.want(t, "record 1", "a hold", "a release", "record 0")
}

func TestNothingRunsThatCannotBeRecorded(t *testing.T) {
	s := &stage{fail: map[string]error{"record": errors.New("forbidden")}}
	if _, err := s.around(t.Context(), hooked("a", Fail)); err == nil {
		t.Error("no error")
	}
	s.want(t, "record 1")
}

func TestAPostHookThatFailedStaysRecordedAndNamesTheCommandToRunByHand(t *testing.T) {
	s := &stage{fail: map[string]error{"release": errors.New("exit status 1")}}
	_, err := s.around(t.Context(), hooked("a", Fail))
	if !errors.As(err, new(*PostError)) || !strings.Contains(strings.Join(hint.Of(err), " "), "kubectl exec a -c c -- release") {
		t.Errorf("error %v", err)
	}
	if len(s.recorded) != 1 || s.recorded[0].PodUID != "uid-a" {
		t.Errorf("recorded %v", s.recorded)
	}
}

func TestTheNextRunEndsWhatAKilledOneBegan(t *testing.T) {
	killed := &stage{}
	b := begun([]Pod{hooked("a", Fail), hooked("gone", Fail), hooked("changed", Fail)})
	changed := hooked("changed", Fail)
	changed.Post.Command = []string{"something else"}
	err := killed.runner().Recover(t.Context(), b, []Pod{hooked("a", Fail), changed, hooked("other", Fail)},
		func(uid string) bool { return uid != "uid-gone" })
	if err == nil || !strings.Contains(err.Error(), "pod changed") || strings.Contains(err.Error(), "gone") {
		t.Errorf("error %v", err)
	}
	killed.want(t, "a release", "record 0")
}

func TestAHookMayRunBesideTheApplication(t *testing.T) {
	p := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app"}},
		InitContainers: []corev1.Container{
			{Name: "sidecar", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}, {Name: "setup"},
		},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger"}}},
	}}
	for name, want := range map[string]string{"": "app", "app": "app", "sidecar": "sidecar", "debugger": "debugger", "setup": "", "other": ""} {
		h := &Hook{Container: name}
		if err := h.place(p); (err == nil) != (want != "") || err == nil && h.Container != want {
			t.Errorf("%q: %q, %v", name, h.Container, err)
		}
	}
}
