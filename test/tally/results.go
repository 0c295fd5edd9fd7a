// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// result has the results of one package. Tests and subtests count equally, as `go test -v` prints a line for each.
type result struct {
	Package string `json:"package"`
	Passed  int    `json:"passed"`
	Failed  int    `json:"failed"`
	// Skipped and Broken are the names of tests.
	Skipped []string `json:"skipped,omitempty"`
	Broken  []string `json:"broken,omitempty"`
	// Line is go test's closing line of the package, empty for a package without tests.
	Line string `json:"line,omitempty"`
}

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// testKey names one test of one package.
type testKey struct{ pkg, test string }

// follower turns events into output and results. It prints a test's output only when the test fails, like go test
// without -v.
type follower struct {
	out     io.Writer
	verbose bool
	held    map[testKey][]string
	results []result
	index   map[string]int
	open    map[string]bool
}

// follow reads go test's events to their end and returns one result per package, in order of appearance.
func follow(events io.Reader, out io.Writer, verbose bool) ([]result, error) {
	f := &follower{
		out: out, verbose: verbose,
		held: map[testKey][]string{}, index: map[string]int{}, open: map[string]bool{},
	}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			f.line(line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.close(), fmt.Errorf("read go test's output: %w", err)
		}
	}
	return f.close(), nil
}

// line processes one line; a line that is not an event is printed as it is.
func (f *follower) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		fmt.Fprint(f.out, string(line))
		return
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(f.out, e.Output)
	case "start":
		f.result(e.Package)
		f.open[e.Package] = true
	case "output":
		f.output(e)
	case "pass", "fail", "skip":
		f.end(e)
	}
}

// output prints a package's own lines and buffers a test's.
func (f *follower) output(e event) {
	if e.Test != "" && !f.verbose {
		if !strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME: the -v that -json implies
			key := testKey{e.Package, e.Test}
			f.held[key] = append(f.held[key], e.Output)
		}
		return
	}
	if e.Test == "" && isClosingLine(e.Output) {
		f.result(e.Package).Line = strings.TrimSpace(e.Output)
	}
	if e.Test == "" && !f.verbose && (e.Output == "PASS\n" || strings.HasPrefix(e.Output, "-test.shuffle ")) {
		return
	}
	fmt.Fprint(f.out, e.Output)
}

// isClosingLine reports whether a line is go test's last line of a package ("ok  \tpkg\t0.1s", "FAIL\tpkg\t0.1s"), and
// not the bare FAIL before it or output of a test.
func isClosingLine(s string) bool {
	return strings.HasPrefix(s, "ok  \t") || strings.HasPrefix(s, "FAIL\t")
}

// end counts a test, or closes a package.
func (f *follower) end(e event) {
	r := f.result(e.Package)
	if e.Test == "" {
		delete(f.open, e.Package)
		if e.Action == "fail" && r.Failed == 0 { // did not build, panicked outside a test, or TestMain failed
			r.Failed = 1
			r.Broken = append(r.Broken, "(the package itself)")
		}
		return
	}
	key := testKey{e.Package, e.Test}
	switch e.Action {
	case "pass":
		r.Passed++
	case "skip":
		r.Skipped = append(r.Skipped, e.Test)
	case "fail":
		r.Failed++
		r.Broken = append(r.Broken, e.Test)
		for _, text := range f.held[key] {
			fmt.Fprint(f.out, text)
		}
	}
	delete(f.held, key)
}

// result returns the package's result, new when there was none. The pointer holds until the next call.
func (f *follower) result(pkg string) *result {
	i, known := f.index[pkg]
	if !known {
		i = len(f.results)
		f.index[pkg] = i
		f.results = append(f.results, result{Package: pkg})
	}
	return &f.results[i]
}

// close marks every package that started and did not end as failed, and prints the output of its tests.
func (f *follower) close() []result {
	for i := range f.results {
		r := &f.results[i]
		if !f.open[r.Package] {
			continue
		}
		r.Failed++
		r.Broken = append(r.Broken, "(ended before its tests did)")
		r.Line = "FAIL\t" + r.Package + "\t[ended before its tests did]"
		for key, texts := range f.held {
			if key.pkg == r.Package {
				fmt.Fprint(f.out, strings.Join(texts, ""))
			}
		}
	}
	return f.results
}

func anyFailed(results []result) bool {
	for _, r := range results {
		if r.Failed > 0 {
			return true
		}
	}
	return false
}

// appendResults adds to the record, one JSON object per line.
func appendResults(path string, results []result) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	encoder := json.NewEncoder(file)
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return errors.Join(fmt.Errorf("write the record %s: %w", path, err), file.Close())
		}
	}
	return file.Close()
}

// readResults reads a whole record; a missing record is empty.
func readResults(path string) ([]result, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the record: %w", err)
	}
	defer file.Close()
	var results []result
	decoder := json.NewDecoder(file)
	for {
		var r result
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			return results, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the record %s: %w", path, err)
		}
		results = append(results, r)
	}
}

// closingLines prints each package's last line, then the tests that were skipped or failed, then the count. A failure
// status without a failed result counts as one failure.
func closingLines(path string, status int, out io.Writer) (int, error) {
	results, err := readResults(path)
	if err != nil {
		return 2, err
	}
	if status != 0 && !anyFailed(results) {
		what := fmt.Sprintf("the run ended with status %d outside any test", status)
		results = append(results, result{Package: what, Failed: 1, Line: "FAIL\t" + what})
	}
	var passed, failed int
	for _, r := range results {
		passed += r.Passed
		failed += r.Failed
		if r.Line != "" {
			fmt.Fprintln(out, r.Line)
		}
	}
	for _, r := range results {
		for _, name := range r.Skipped {
			fmt.Fprintf(out, "skipped: %s %s\n", r.Package, name)
		}
	}
	for _, r := range results {
		for _, name := range r.Broken {
			fmt.Fprintf(out, "failed: %s %s\n", r.Package, name)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		return 1, nil
	}
	return 0, nil
}
