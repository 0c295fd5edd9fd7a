// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// runSample runs real tests of the sample module and returns the exit status, the output and the record's path.
func runSample(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	record := filepath.Join(t.TempDir(), "record")
	t.Chdir("testdata/sample")
	var out, talk bytes.Buffer
	status, err := run(t.Context(), append([]string{"-record", record, "--", "go", "test", "-vet=off"}, args...), &out, &talk)
	if err != nil {
		t.Fatalf("run: %v\n%s%s", err, &out, &talk)
	}
	return status, out.String(), record
}

func report(t *testing.T, record string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status, err := run(t.Context(), []string{"-record", record, "-report"}, &out, &out)
	if err != nil {
		t.Fatalf("report: %v", err)
	}
	return status, out.String()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func TestPassingTestsAndSubtestsAreCountedAndTheirTalkIsHeld(t *testing.T) {
	status, out, record := runSample(t, "./good", "./none")
	if status != 0 {
		t.Errorf("status %d, want 0", status)
	}
	if strings.Contains(out, "stays held") {
		t.Errorf("a passing test's output was printed:\n%s", out)
	}
	status, out = report(t, record)
	if status != 0 || lastLine(out) != "2 passed, 0 failed" {
		t.Errorf("report says %q with status %d", lastLine(out), status)
	}
	for _, want := range []string{"ok  \texample.com/sample/good", "skipped: example.com/sample/good TestSkips"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "none") {
		t.Errorf("a package without tests is in the report:\n%s", out)
	}
}

func TestAFailingTestIsCountedNamedAndHeard(t *testing.T) {
	status, out, record := runSample(t, "./bad")
	if status != 1 || !strings.Contains(out, "a failing test's talk is shown") || strings.Contains(out, "=== RUN") {
		t.Errorf("status %d, output:\n%s", status, out)
	}
	status, out = report(t, record)
	if status != 1 || lastLine(out) != "1 passed, 1 failed" || !strings.Contains(out, "failed: example.com/sample/bad TestFails") {
		t.Errorf("status %d, report:\n%s", status, out)
	}
}

func TestAPackageThatFailsWithoutAFailingTestCountsAsOneFailure(t *testing.T) {
	for pkg, want := range map[string]string{
		"./broken": "0 passed, 1 failed",
		"./crash":  "1 passed, 1 failed",
		"./absent": "0 passed, 1 failed",
	} {
		t.Run(pkg, func(t *testing.T) {
			status, out, record := runSample(t, pkg)
			if status == 0 {
				t.Errorf("status 0, output:\n%s", out)
			}
			if pkg == "./broken" && !strings.Contains(out, "undefined: undefined") {
				t.Errorf("the compiler's words are missing:\n%s", out)
			}
			if _, out = report(t, record); lastLine(out) != want {
				t.Errorf("report says %q, want %q:\n%s", lastLine(out), want, out)
			}
		})
	}
}

func TestAStreamThatBreaksOffFailsThePackagesThatWereOpen(t *testing.T) {
	stream := `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Test":"TestX","Output":"half a story\n"}
`
	var out bytes.Buffer
	results, err := follow(strings.NewReader(stream), &out, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Failed != 1 || !strings.HasPrefix(results[0].Line, "FAIL\ta") {
		t.Errorf("results %+v", results)
	}
	if out.String() != "half a story\n" {
		t.Errorf("output %q", out.String())
	}
}

func TestTheRecordAddsUpOverRunsAndOutsideFailures(t *testing.T) {
	_, _, record := runSample(t, "./good")
	var out bytes.Buffer
	if _, err := run(t.Context(), []string{"-record", record, "-fail", "the lab did not start"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	status, text := report(t, record)
	if status != 1 || lastLine(text) != "2 passed, 1 failed" || !strings.Contains(text, "FAIL\tthe lab did not start") {
		t.Errorf("status %d, report:\n%s", status, text)
	}
}

func TestAStatusThatNoTestExplainsIsAFailure(t *testing.T) {
	_, _, record := runSample(t, "./good")
	for status, want := range map[string]string{"0": "2 passed, 0 failed", "2": "2 passed, 1 failed"} {
		var out bytes.Buffer
		got, err := run(t.Context(), []string{"-record", record, "-report", "-status", status}, &out, &out)
		if err != nil {
			t.Fatal(err)
		}
		if lastLine(out.String()) != want || (got == 0) != (status == "0") {
			t.Errorf("with status %s the report ends with %q and %d, want %q", status, lastLine(out.String()), got, want)
		}
	}
}

func TestARunInWhichNothingRanIsNoSuccess(t *testing.T) {
	status, out := report(t, filepath.Join(t.TempDir(), "never-written"))
	if status != 1 || lastLine(out) != "0 passed, 0 failed" {
		t.Errorf("status %d, report %q", status, out)
	}
}

func TestVerboseRunsStreamEverything(t *testing.T) {
	_, out, _ := runSample(t, "-v", "./good")
	if !strings.Contains(out, "stays held") || !strings.Contains(out, "--- PASS: TestPasses") {
		t.Errorf("output:\n%s", out)
	}
}
