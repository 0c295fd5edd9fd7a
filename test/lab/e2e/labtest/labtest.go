// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package labtest drives a lab from tests by its commands and by kubectl, as a person would.
package labtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Lab is a lab under test.
type Lab struct {
	Dir string
	bin string
}

// At is the lab in a folder, which need not exist yet.
func At(t *testing.T, dir string) *Lab {
	t.Helper()
	bin := os.Getenv("MOTION_LAB_BIN")
	if bin == "" {
		out, err := exec.Command("go", "env", "GOMOD").Output()
		if err != nil {
			t.Fatalf("find the repository: %v", err)
		}
		bin = filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "..", "..", "bin")
	}
	if _, err := os.Stat(filepath.Join(bin, "motion-lab")); err != nil {
		t.Fatalf("the lab is not built, run test/lab/build.sh: %v", err)
	}
	return &Lab{Dir: dir, bin: bin}
}

// Running is the lab that people use, in its default folder or that of MOTION_LAB_DIR. That it does not run is a
// failure.
func Running(t *testing.T) *Lab {
	t.Helper()
	dir := os.Getenv("MOTION_LAB_DIR")
	if dir == "" {
		dir = "/var/lib/motion-lab"
	}
	l := At(t, dir)
	l.Motion(t, "status")
	return l
}

// Motion runs a motion-lab command, which must succeed, and returns what it printed.
func (l *Lab) Motion(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.TryMotion(args...)
	if err != nil {
		t.Fatalf("motion-lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryMotion runs a motion-lab command.
func (l *Lab) TryMotion(args ...string) (string, error) {
	return l.run("", filepath.Join(l.bin, "motion-lab"), args...)
}

// Programs are the files that run inside the lab.
func (l *Lab) Programs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.bin, "lab", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no programs in %s: %v", l.bin, err)
	}
	return files
}

// Kubectl runs kubectl in one of the lab's contexts, which must succeed, and returns what it printed.
func (l *Lab) Kubectl(t *testing.T, kubeContext string, args ...string) string {
	t.Helper()
	out, err := l.TryKubectl(kubeContext, args...)
	if err != nil {
		t.Fatalf("kubectl --context %s %s: %v\n%s", kubeContext, strings.Join(args, " "), err, out)
	}
	return out
}

// TryKubectl runs kubectl in one of the lab's contexts.
func (l *Lab) TryKubectl(kubeContext string, args ...string) (string, error) {
	return l.run("", filepath.Join(l.bin, "lab", "kubectl"), l.kubectlArgs(kubeContext, args)...)
}

// KubectlCommand prepares kubectl for tests that need it running in the background.
func (l *Lab) KubectlCommand(ctx context.Context, kubeContext string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(l.bin, "lab", "kubectl"), l.kubectlArgs(kubeContext, args)...)
	cmd.Env = l.env()
	return cmd
}

func (l *Lab) kubectlArgs(kubeContext string, args []string) []string {
	return append([]string{"--context", kubeContext}, args...)
}

// Apply applies a manifest, which must succeed.
func (l *Lab) Apply(t *testing.T, kubeContext, manifest string) {
	t.Helper()
	if out, err := l.TryApply(kubeContext, manifest); err != nil {
		t.Fatalf("kubectl --context %s apply: %v\n%s", kubeContext, err, out)
	}
}

// TryApply applies a manifest.
func (l *Lab) TryApply(kubeContext, manifest string) (string, error) {
	return l.run(manifest, filepath.Join(l.bin, "lab", "kubectl"), l.kubectlArgs(kubeContext, []string{"apply", "-f", "-"})...)
}

func (l *Lab) env() []string {
	return append(os.Environ(), "MOTION_LAB_DIR="+l.Dir, "KUBECONFIG="+filepath.Join(l.Dir, "kubeconfig"))
}

// run runs a program and waits until its output is closed: a supervisor that kept its caller's pipes open
// would make `up` hang here.
func (l *Lab) run(stdin, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Stdin = l.env(), strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Namespace makes a namespace for one test, without a Pod Security level, and removes it afterwards.
func (l *Lab) Namespace(t *testing.T, kubeContext string) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", time.Now().UnixNano())
	l.Kubectl(t, kubeContext, "create", "namespace", name)
	t.Cleanup(func() { l.Kubectl(t, kubeContext, "delete", "namespace", name, "--wait=false") })
	return name
}

// Eventually calls a check until it returns nil, and fails the test when that takes longer than a minute and a half.
func Eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // this is how a state is waited for
	}
}

// Said is nil when a command ended well and said what it should.
func Said(out string, err error, want string) error {
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if out != want {
		return fmt.Errorf("it said %q, not %q", out, want)
	}
	return nil
}

// InterruptedUp starts `up`, and kills it as soon as a file that it makes on its way is there.
func InterruptedUp(t *testing.T, l *Lab, file string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(l.bin, "motion-lab"), "up")
	cmd.Env = l.env()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, file, func() error { _, err := os.Stat(file); return err })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}
