// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// copyOptions are the flags of copy.
type copyOptions struct {
	source, target string
	state          string
	json           bool
	bandwidth      int64
	verify         bool
	trustTarget    bool
	drop           []string
	selinux        bool

	// For tests and measurements: where the two ends run and meet.
	sendWith, receiveWith string
	listen, dial          string
	sendState             string
	receiveState          string
	connections           int
}

const copyLong = `Make DST an exact copy of SRC with the engine that ships volumes between clusters:
two processes, joined by TLS connections, each with its own state.

SRC and DST are both directories, or both block devices or image files. Whatever
else DST holds is removed. With --state, what is known of both is kept, and the
next run reads and sends only what changed; without it every run reads both.

What DST's filesystem cannot hold is an error that names the first such entry,
before anything is verified. With --drop whole kinds of attributes are left out
on purpose; the digest is then that of SRC without them. Owners, device nodes,
times and the like cannot be left out: DST would be something else than SRC.

EXIT STATUS
  0    DST is an exact copy of SRC, durably
  1    it is not; the message says why, and running again carries on
  2    wrong usage
  5    DST does not hold what SRC was read to be
  130  interrupted`

func newCopyCommand() *cobra.Command {
	o := &copyOptions{}
	c := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Make one directory or device an exact copy of another",
		Long:  copyLong,
		Example: `  # Copy a directory, and again later what changed
  motion-agent copy --state /var/lib/motion /data /mnt/new
  motion-agent copy --state /var/lib/motion /data /mnt/new

  # Copy a device at 50 MB/s and read the copy back
  motion-agent copy --bandwidth 50000000 --verify /dev/vg0/data /dev/vg1/data

  # Copy to a filesystem that has neither ACLs nor attributes of users
  motion-agent copy --drop acl,xattr.user /data /mnt/old`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			o.source, o.target = args[0], args[1]
			return o.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.state, "state", "", "directory to keep what is known of both ends in; empty means it is forgotten")
	f.BoolVar(&o.json, "json", false, "print the result, and progress on stderr, as JSON")
	f.Int64Var(&o.bandwidth, "bandwidth", 0, "bytes per second on the connections; 0 means unlimited")
	f.BoolVar(&o.verify, "verify", false, "read the whole copy back from its storage")
	f.BoolVar(&o.trustTarget, "trust-target", false, "do not look at DST for foreign changes")
	f.StringSliceVar(&o.drop, "drop", nil, "kinds of attributes to leave out: "+strings.Join(droppable(), ", "))
	f.BoolVar(&o.selinux, "selinux", false, "copy SELinux labels too, instead of leaving them to the target's policy")
	f.IntVar(&o.connections, "connections", 0, "data connections, 2 to 8; 0 means 4")
	f.StringVar(&o.sendWith, "send-with", "", "command line to run the sending process with")
	f.StringVar(&o.receiveWith, "receive-with", "", "command line to run the receiving process with")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address the receiving process listens on")
	f.StringVar(&o.dial, "dial", "", "address the sending process connects to, instead of the one that is listened on")
	f.StringVar(&o.sendState, "send-state", "", "state of the sending end, instead of --state")
	f.StringVar(&o.receiveState, "receive-state", "", "state of the receiving end, instead of --state")
	for _, name := range []string{"send-with", "receive-with", "listen", "dial", "send-state", "receive-state", "connections"} {
		_ = f.MarkHidden(name)
	}
	c.AddCommand(newCopyEndCommand())
	return c
}

// copyEnd is what one of the two processes is told, on its standard input.
type copyEnd struct {
	Send        bool
	Path, State string
	Key         []byte
	UID         string
	PeerUID     string
	PeerKey     string
	Address     string
	Options     copyEndOptions
}

type copyEndOptions struct {
	Bandwidth   int64
	Connections int
	Verify      bool
	TrustTarget bool
	Drop        tree.Mask
	SELinux     bool
	// SourceImage and SourceSize tell the receiver what to make when DST does not exist.
	SourceImage bool
	SourceSize  int64
	Progress    bool
}

// copyNote is one line of what a process says on its standard output.
type copyNote struct {
	Address    string           `json:"address,omitempty"`
	Statistics *ship.Statistics `json:"statistics,omitempty"`
	Result     *ship.Result     `json:"result,omitempty"`
	Reason     ship.Reason      `json:"reason,omitempty"`
	Error      string           `json:"error,omitempty"`
	Log        string           `json:"log,omitempty"`
}

// copyError is a failed copy with its reason.
type copyError struct {
	reason ship.Reason
	text   string
}

func (e *copyError) Error() string { return e.text }

// ExitCode is the process's exit status, per the EXIT STATUS section of the help.
func (e *copyError) ExitCode() int {
	switch e.reason {
	case "DigestMismatch":
		return 5
	case "Cancelled":
		return 130
	}
	return 1
}

// droppable are the names that --drop takes. SELinux labels have a flag of their own, since
// they are left out unless asked for.
func droppable() []string {
	return slices.DeleteFunc(tree.MaskNames(), func(name string) bool { return name == tree.MaskSELinux.String() })
}

// dropHint says with which flag the copy would leave out what the target cannot hold.
func dropHint(reason ship.Reason, text string) string {
	if reason != "TargetUnsupported" {
		return ""
	}
	for _, name := range tree.MaskNames() {
		switch {
		case !strings.Contains(text, "("+name+")"):
		case name == tree.MaskSELinux.String():
			return "\nhint: without --selinux labels are left out"
		default:
			return "\nhint: --drop " + name + " leaves out all attributes of this kind"
		}
	}
	return ""
}

func (o *copyOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	for _, name := range o.drop {
		if !slices.Contains(droppable(), name) {
			return &usageError{fmt.Errorf("--drop %s: these can be left out: %s", name, strings.Join(droppable(), ", "))}
		}
	}
	send, receive, cleanup, err := o.ends()
	if err != nil {
		return err
	}
	defer cleanup()
	start := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := startEnd(ctx, o.receiveWith, receive)
	if err != nil {
		return err
	}
	defer r.stop()
	note, err := r.next()
	if err != nil {
		return err
	}
	if note.Address == "" {
		return &copyError{note.Reason, note.Error}
	}
	send.Address = note.Address
	if o.dial != "" {
		send.Address = o.dial
	}
	s, err := startEnd(ctx, o.sendWith, send)
	if err != nil {
		return err
	}
	defer s.stop()
	results, err := follow(ctx, s, r, o.progress(stderr))
	if err != nil {
		return err
	}
	return o.print(stdout, results, time.Since(start))
}

// ends makes what the two processes are told.
func (o *copyOptions) ends() (send, receive *copyEnd, cleanup func(), err error) {
	cleanup = func() {}
	src, err := os.Stat(o.source)
	if err != nil {
		return nil, nil, cleanup, err
	}
	states := [2]string{o.sendState, o.receiveState}
	if o.sendState == "" || o.receiveState == "" {
		root := o.state
		if root == "" {
			if root, err = os.MkdirTemp("", "motion-copy-"); err != nil {
				return nil, nil, cleanup, err
			}
			cleanup = func() { _ = os.RemoveAll(root) }
		}
		for i, name := range []string{"source", "target"} {
			if states[i] == "" {
				states[i] = filepath.Join(root, name)
			}
		}
	}
	send = &copyEnd{Send: true, Path: o.source, State: states[0], UID: "copy-source", PeerUID: "copy-target"}
	receive = &copyEnd{Path: o.target, State: states[1], UID: "copy-target", PeerUID: "copy-source", Address: o.listen}
	if err := exchangeKeys(send, receive); err != nil {
		return nil, nil, cleanup, err
	}
	mask, err := tree.ParseMask(o.drop)
	if err != nil {
		return nil, nil, cleanup, &usageError{err}
	}
	options := copyEndOptions{
		Drop: mask, SELinux: o.selinux,
		Bandwidth: o.bandwidth, Connections: o.connections, Verify: o.verify, TrustTarget: o.trustTarget,
		SourceImage: !src.IsDir(), Progress: true,
	}
	if src.Mode().IsRegular() {
		options.SourceSize = src.Size()
	}
	send.Options, receive.Options = options, options
	return send, receive, cleanup, nil
}

func exchangeKeys(a, b *copyEnd) error {
	for _, pair := range [][2]*copyEnd{{a, b}, {b, a}} {
		k, err := link.NewKey()
		if err != nil {
			return err
		}
		if pair[0].Key, err = k.MarshalPEM(); err != nil {
			return err
		}
		pair[1].PeerKey = k.SHA256()
	}
	return nil
}

// endProcess is one of the two processes.
type endProcess struct {
	name  string
	cmd   *exec.Cmd
	lines *bufio.Scanner
	once  sync.Once
}

// startEnd starts an end, with the command line given in front of our own.
func startEnd(ctx context.Context, with string, end *copyEnd) (*endProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append(strings.Fields(with), self, "copy", "end")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	// The ends are stopped by us: a terminal's interrupt goes to the whole group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	told, err := json.Marshal(end)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = strings.NewReader(string(told))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", end.name(), err)
	}
	p := &endProcess{name: end.name(), cmd: cmd, lines: bufio.NewScanner(out)}
	p.lines.Buffer(nil, 1<<20)
	return p, nil
}

func (e *copyEnd) name() string {
	if e.Send {
		return "sender"
	}
	return "receiver"
}

// next reads what the process says next.
func (p *endProcess) next() (copyNote, error) {
	if !p.lines.Scan() {
		err := p.lines.Err()
		if err == nil {
			err = p.wait()
		}
		return copyNote{}, fmt.Errorf("the %s ended early: %w", p.name, err)
	}
	var n copyNote
	if err := json.Unmarshal(p.lines.Bytes(), &n); err != nil {
		return n, fmt.Errorf("the %s said %q", p.name, p.lines.Text())
	}
	return n, nil
}

func (p *endProcess) wait() (err error) {
	p.once.Do(func() { err = p.cmd.Wait() })
	if err == nil {
		err = errors.New("without a result")
	}
	return err
}

// stop ends the process if it has not ended.
func (p *endProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.once.Do(func() { _ = p.cmd.Wait() })
}

type endNote struct {
	send bool
	note copyNote
	err  error
}

// follow listens to both processes until both have a result.
func follow(ctx context.Context, s, r *endProcess, progress func(ship.Statistics)) ([2]ship.Result, error) {
	notes := make(chan endNote)
	listen := func(p *endProcess, send bool) {
		for {
			n, err := p.next()
			select {
			case notes <- endNote{send, n, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || n.Result != nil {
				return
			}
		}
	}
	go listen(s, true)
	go listen(r, false)
	var results [2]ship.Result
	var failures [2]error
	for got := 0; got < 2; {
		var n endNote
		select {
		case n = <-notes:
		case <-ctx.Done():
			return results, &copyError{"Cancelled", "interrupted; run it again to carry on"}
		}
		i := 1
		if n.send {
			i = 0
		}
		switch {
		case n.err != nil:
			failures[i] = n.err
			got++
		case n.note.Result != nil:
			results[i] = *n.note.Result
			if n.note.Error != "" {
				failures[i] = &copyError{n.note.Reason, n.note.Error + dropHint(n.note.Reason, n.note.Error)}
			}
			got++
		case n.note.Statistics != nil && n.send:
			progress(*n.note.Statistics)
		case n.note.Log != "":
			fmt.Fprintln(os.Stderr, n.note.Log)
		}
		if failures[i] != nil && got < 2 {
			return results, failures[i]
		}
	}
	return results, errors.Join(failures[0], failures[1])
}

func (o *copyOptions) progress(w io.Writer) func(ship.Statistics) {
	return func(f ship.Statistics) {
		if o.json {
			b, _ := json.Marshal(f)
			fmt.Fprintf(w, "%s\n", b)
			return
		}
		fmt.Fprintf(w, "%d entries, %s read, %s sent, %s on the wire\n", f.Entries, size(f.ReadBytes), size(f.SentBytes), size(f.WireBytes))
	}
}

// copyReport is the result as JSON.
type copyReport struct {
	Digest        string        `json:"digest"`
	Verified      bool          `json:"verified"`
	Unchanged     bool          `json:"unchanged"`
	Strength      ship.Strength `json:"strength"`
	Entries       int64         `json:"entries"`
	Changed       int64         `json:"changed"`
	ScannedBytes  int64         `json:"scannedBytes"`
	ReadBytes     int64         `json:"readBytes"`
	SentBytes     int64         `json:"sentBytes"`
	WireBytes     int64         `json:"wireBytes"`
	Seconds       float64       `json:"seconds"`
	ScanSeconds   float64       `json:"scanSeconds"`
	VerifySeconds float64       `json:"verifySeconds"`
}

func (o *copyOptions) print(w io.Writer, results [2]ship.Result, took time.Duration) error {
	s, r := results[0], results[1]
	report := copyReport{
		Digest: r.Digest, Verified: r.Verified, Unchanged: s.Unchanged, Strength: r.Strength, Entries: s.Entries,
		Changed: s.Changed, ScannedBytes: s.ScannedBytes, ReadBytes: s.ReadBytes, SentBytes: s.SentBytes, WireBytes: s.WireBytes,
		Seconds: took.Seconds(), ScanSeconds: s.ScanTime.Seconds(), VerifySeconds: s.VerifyTime.Seconds(),
	}
	if o.json {
		b, err := json.Marshal(report)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	what := fmt.Sprintf("%d of %d entries changed", s.Changed, s.Entries)
	if s.Unchanged {
		what = fmt.Sprintf("%d entries unchanged", s.Entries)
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s sent (%s on the wire) in %.1f s; both ends have %s (%s)\n",
		o.target, what, size(s.SentBytes), size(s.WireBytes), took.Seconds(), r.Digest, r.Strength)
	return err
}

func size(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1000, 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}
