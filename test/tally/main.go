// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command tally runs `go test`, prints its output and records the results, so
// that a run of several modules and levels of tests ends with a counted summary.
//
//	tally -record FILE -- go test [flags] packages   run and add to FILE
//	tally -record FILE -fail TEXT                    add a failure that no test could report
//	tally -record FILE -report [-status N]           print FILE's closing lines
//
// The exit status of a run is go test's own; that of a report is 1 when
// a test failed or when no test ran. With -status, the exit status of the command
// that ran the tests, a failure that is not in the record is reported as one: a
// failed build is not "0 failed".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "tally: %v\n", err)
		os.Exit(2)
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("tally", flag.ContinueOnError)
	flags.SetOutput(stderr)
	record := flags.String("record", "", "`file` that collects the results")
	failure := flags.String("fail", "", "record this `text` as a failure")
	report := flags.Bool("report", false, "print the closing lines of the record")
	status := flags.Int("status", 0, "with -report: exit `status` of what ran the tests")
	if err := flags.Parse(args); err != nil {
		return 2, err
	}
	switch {
	case *record == "":
		return 2, errors.New("no -record FILE given")
	case *report:
		return closingLines(*record, *status, stdout)
	case *failure != "":
		return 0, appendResults(*record, []result{{Package: *failure, Failed: 1, Line: "FAIL\t" + *failure}})
	case flags.NArg() < 2 || flags.Arg(0) != "go" || flags.Arg(1) != "test":
		return 2, errors.New("after -- there must be a `go test` command")
	}
	return runTests(ctx, *record, flags.Args()[2:], stdout, stderr)
}

// runTests runs `go test -json` with the given arguments and records its results, also when it is interrupted: a
// package that started and did not end counts as failed.
func runTests(ctx context.Context, record string, args []string, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute // the tests' own cleanup runs in this time
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 2, err
	}
	if err := cmd.Start(); err != nil {
		return 2, fmt.Errorf("start go test: %w", err)
	}
	results, readErr := follow(out, stdout, slices.Contains(args, "-v"))
	status, err := exitStatus(cmd.Wait())
	if err != nil {
		return 2, err
	}
	if status != 0 && !anyFailed(results) {
		results = append(results, result{Package: "go test", Failed: 1, Line: "FAIL\tgo test ended before any test could fail"})
	}
	return status, errors.Join(readErr, appendResults(record, results))
}

// exitStatus converts the error of Wait to an exit status; only a command that could not be waited for is an error.
func exitStatus(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	case errors.As(err, &exit), errors.Is(err, context.Canceled), errors.Is(err, exec.ErrWaitDelay):
		return 130, nil // ended by a signal
	default:
		return 2, fmt.Errorf("wait for go test: %w", err)
	}
}
