// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command bench times `motion-agent copy` beside its peers and beside what the machine can
// do with bare system calls, and writes a table in Markdown:
//
//	go run ./test/bench [-quick] [-rows regexp] [-runs n] [-dir folder]     (make bench)
//
// # What is fair about it
//
//   - Source, target and both states are on three filesystems (ext4, XFS, ext4), each in a
//     file of its own with direct I/O; caches are dropped before every run.
//   - Ours is a supervisor and two processes that meet over TLS on loopback; rsync and tar go
//     through ssh with aes128-gcm over a connection that already stands. Start of processes,
//     handshake, indexes and syncs are inside the timer, which stops after the target's
//     filesystem was synced, for everybody.
//   - Peers are interleaved with ours. The figure that counts is the median of the ratios of
//     neighbouring runs; the smallest and the largest are shown beside it.
//   - After every run an oracle that has nothing in common with ours compares content and all
//     metadata; a difference voids the row. Peers whose flags are known to lose something are
//     not asked.
//   - Limits are programs of a few lines (limit.go) with the same calls for metadata; of
//     1 to 16 workers the best counts. For the large file the limit is besides not less than
//     what its calls, two digests and TLS take of all cores together (work.go).
//   - The best peer is the best one that has another end to reach, and cp -a. rsync between two
//     folders of one machine is shown with the others.
//
// What is not fair: both ends share this machine's processors, so a program that uses two at a time
// pays for both; a peer of one thread has the other one for its ssh.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		if err := bare(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: bare:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options of a run; sizes are in what their names say.
type options struct {
	quick  bool
	rows   string
	runs   int
	dir    string
	agent  string
	list   bool
	wait   time.Duration
	files  int
	bigMiB int64
	many   int
	warm   bool
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.quick, "quick", os.Getenv("BENCH") == "quick", "smaller sets, the rows that gate; about three minutes (or BENCH=quick)")
	f.StringVar(&o.rows, "rows", os.Getenv("ROWS"), "regular expression of the rows to measure (or ROWS)")
	f.IntVar(&o.runs, "runs", 0, "runs of each contender; 0 means 5, quick 3")
	f.StringVar(&o.dir, "dir", os.Getenv("BENCH_DIR"), "folder for the filesystems, with room for them (or BENCH_DIR)")
	f.StringVar(&o.agent, "agent", "bin/motion-agent", "motion-agent to measure")
	f.BoolVar(&o.list, "list", false, "name the rows and end")
	f.IntVar(&o.files, "files", 0, "small files; 0 means 100,000, quick 20,000")
	f.Int64Var(&o.bigMiB, "big", 0, "size of the large file in MiB; 0 means 4096, quick 512")
	f.IntVar(&o.many, "many", 1_000_000, "files in the rows about memory: with 10000000 they show that memory does not grow, and need 35 GiB")
	f.DurationVar(&o.wait, "row-timeout", 4*time.Hour, "a row that takes longer is void")
	f.BoolVar(&o.warm, "warm", false, "leave the caches as they are: for trying this program, not for published results")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	pick := func(v *int, whole, quick int) {
		if *v == 0 {
			*v = whole
			if o.quick {
				*v = quick
			}
		}
	}
	pick(&o.runs, 5, 3)
	pick(&o.files, 100_000, 20_000)
	big := int(o.bigMiB)
	pick(&big, 4096, 512)
	o.bigMiB = int64(big)
	var err error
	o.agent, err = filepath.Abs(o.agent)
	return o, err
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile(o.rows)
	if err != nil {
		return err
	}
	var rows []row
	for _, r := range allRows(o) {
		if (o.rows == "" && (!o.quick || r.quick) && !r.asked) || o.rows != "" && wanted.MatchString(r.name) {
			rows = append(rows, r)
		}
	}
	if o.list {
		for _, r := range allRows(o) {
			fmt.Fprintln(os.Stdout, r.name)
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("it mounts filesystems and drops caches: it needs root")
	}
	if os.Getenv("MOTION_BENCH_APART") == "" {
		return apart(ctx)
	}
	if err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").Run(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	size, files := int64(0), int64(0)
	for _, r := range rows {
		f, b := r.data.extent(o)
		size, files = max(size, room*b, f*(8<<10)), max(files, f)
	}
	w, err := newWorld(ctx, o.agent, o.dir, max(size, 16<<30), files, os.Stderr)
	if w != nil {
		defer w.close()
	}
	if err != nil {
		return err
	}
	w.warm = o.warm
	if err := w.startSSH(); err != nil {
		return fmt.Errorf("start a private sshd: %w", err)
	}
	return measure(w, o, rows, os.Stdout)
}

// room is how many copies of the large file a filesystem must take: one of each contender, one
// that rsync makes beside its own, and the limit's.
const room = 12

// apart starts this program again in mount and network namespaces of its own, so that
// nothing of it is seen outside or outlives it.
func apart(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, self, os.Args[1:]...)
	c.Env = append(os.Environ(), "MOTION_BENCH_APART=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	return c.Run()
}

// head says how and on what the table below it was made.
func head(w *world, o *options) string {
	kernel, _ := exec.CommandContext(w.ctx, "uname", "-r").Output()
	cores, _ := exec.CommandContext(w.ctx, "nproc").Output()
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("`%s`: %s cores (%s), %s of memory, kernel %s, load %s at the beginning; %d small files of 1 to 16 KiB, a file of %d MiB; %d runs of each, interleaved; seconds are medians.",
		command(o), strings.TrimSpace(string(cores)), field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"),
		strings.TrimSpace(string(kernel)), strings.Fields(string(load) + " ?")[0], o.files, o.bigMiB, o.runs)
}

// command is the command line that measures the same once more.
func command(o *options) string {
	line := fmt.Sprintf("bin/bench -runs %d -files %d -big %d", o.runs, o.files, o.bigMiB)
	if o.quick {
		line += " -quick"
	}
	if o.rows != "" {
		line += fmt.Sprintf(" -rows '%s' -many %d", o.rows, o.many)
	}
	if o.warm {
		line += " -warm"
	}
	return line
}

// field gives the first value of a name in a file of names and values.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return "unknown"
}
