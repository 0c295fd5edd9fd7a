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

	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
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
two processes, connected by TLS, each with its own state directory.

SRC and DST must both be directories, or both block devices or image files. Anything
else in DST is deleted. With --state, the state of both is kept, and the next run
reads and sends only what changed; without it every run reads both.

Entries that the filesystem of DST cannot store are an error that names the first
one. Use --drop to leave out a class of attributes; the digest is then that of SRC
without them. Owners, device nodes and times cannot be left out.

EXIT STATUS
  0    DST is an exact copy of SRC and durable
  1    the copy failed; run the same command again to continue
  2    invalid usage
  5    the content of DST differs from SRC
  130  interrupted`

func newCopyCommand() *cobra.Command {
	o := &copyOptions{}
	c := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Make one directory or device an exact copy of another",
		Long:  copyLong,
		Example: `  # Copy a directory, and later copy only the changes
  motion-agent copy --state /var/lib/motion /data /mnt/new
  motion-agent copy --state /var/lib/motion /data /mnt/new

  # Copy a device at 50 MB/s and verify the copy by reading it
  motion-agent copy --bandwidth 50000000 --verify /dev/vg0/data /dev/vg1/data

  # Copy to a filesystem without ACLs and user attributes
  motion-agent copy --drop acl,xattr.user /data /mnt/old`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			o.source, o.target = args[0], args[1]
			return o.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.state, "state", "", "directory for the state of both ends; if empty, the state is not kept")
	f.BoolVar(&o.json, "json", false, "print the result, and the progress on stderr, as JSON")
	f.Int64Var(&o.bandwidth, "bandwidth", 0, "maximum bytes per second on the network; 0 means unlimited")
	f.BoolVar(&o.verify, "verify", false, "read the whole copy from its storage and compare it")
	f.BoolVar(&o.trustTarget, "trust-target", false, "do not check DST for changes by other processes")
	f.StringSliceVar(&o.drop, "drop", nil, "classes of attributes to leave out: "+strings.Join(droppable(), ", "))
	f.BoolVar(&o.selinux, "selinux", false, "copy SELinux labels instead of leaving them to the policy of the target")
	f.IntVar(&o.connections, "connections", 0, "number of data connections, 2 to 8; 0 means 4")
	f.StringVar(&o.sendWith, "send-with", "", "command line to run the sending process with")
	f.StringVar(&o.receiveWith, "receive-with", "", "command line to run the receiving process with")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address the receiving process listens on")
	f.StringVar(&o.dial, "dial", "", "address the sending process connects to, if it is not the listen address")
	f.StringVar(&o.sendState, "send-state", "", "state directory of the sending end, instead of --state")
	f.StringVar(&o.receiveState, "receive-state", "", "state directory of the receiving end, instead of --state")
	for _, name := range []string{"send-with", "receive-with", "listen", "dial", "send-state", "receive-state", "connections"} {
		_ = f.MarkHidden(name)
	}
	c.AddCommand(newCopyEndCommand())
	return c
}

// copyEnd is the order for one of the two processes, on its standard input.
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
	// SourceImage and SourceSize are what the receiver creates when DST does not exist.
	SourceImage bool
	SourceSize  int64
	Progress    bool
}

// copyNote is one line of a process on its standard output.
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

// ExitStatus is the exit status of the command, per the EXIT STATUS section of its help.
func (e *copyError) ExitStatus() int {
	switch e.reason {
	case fault.DigestMismatch:
		return 5
	case fault.Cancelled:
		return 130
	}
	return 1
}

// droppable are the names that --drop accepts. SELinux labels have a flag of their own: they
// are left out by default.
func droppable() []string {
	return slices.DeleteFunc(tree.MaskNames(), func(name string) bool { return name == tree.MaskSELinux.String() })
}

// dropHint names the flag that leaves out what the target cannot store.
func dropHint(reason ship.Reason, text string) string {
	if reason != fault.TargetUnsupported {
		return ""
	}
	for _, name := range tree.MaskNames() {
		switch {
		case !strings.Contains(text, "("+name+")"):
		case name == tree.MaskSELinux.String():
			return "\nhint: remove --selinux to leave out the labels"
		default:
			return "\nhint: use --drop " + name + " to leave out all attributes of this class"
		}
	}
	return ""
}

func (o *copyOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	for _, name := range o.drop {
		if !slices.Contains(droppable(), name) {
			return &usageError{fmt.Errorf("invalid --drop %q: must be one of %s", name, strings.Join(droppable(), ", "))}
		}
	}
	send, receive, cleanup, err := o.ends()
	defer cleanup()
	if err != nil {
		return err
	}
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
	results, err := follow(ctx, s, r, o.printProgress(stderr))
	if err != nil {
		return err
	}
	return o.print(stdout, results, time.Since(start))
}

// ends returns the orders for the two processes.
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
	if err := ship.CheckApart(o.source, o.target, states[:]...); err != nil {
		return nil, nil, cleanup, &copyError{fault.Of(err), err.Error()}
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

// startEnd starts a process, prefixed by the given command line.
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
	// This process stops the ends: the interrupt of a terminal goes to the whole group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	order, err := json.Marshal(end)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = strings.NewReader(string(order))
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

// next reads the next note of the process.
func (p *endProcess) next() (copyNote, error) {
	if !p.lines.Scan() {
		err := p.lines.Err()
		if err == nil {
			err = p.wait()
		}
		return copyNote{}, fmt.Errorf("the %s process ended early: %w", p.name, err)
	}
	var n copyNote
	if err := json.Unmarshal(p.lines.Bytes(), &n); err != nil {
		return n, fmt.Errorf("the %s process printed %q instead of a note", p.name, p.lines.Text())
	}
	return n, nil
}

func (p *endProcess) wait() (err error) {
	p.once.Do(func() { err = p.cmd.Wait() })
	if err == nil {
		err = errors.New("no result")
	}
	return err
}

// stop terminates the process if it is running.
func (p *endProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.once.Do(func() { _ = p.cmd.Wait() })
}

// endNote is a note of one of the two processes, or the error that ended it.
type endNote struct {
	end  int
	note copyNote
	err  error
}

// The two processes, as indexes of what follow collects.
const (
	sending = iota
	receiving
)

// follow passes on what both processes report until both have a result, or one has failed.
func follow(ctx context.Context, s, r *endProcess, progress func(ship.Statistics)) (results [2]ship.Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notes := make(chan endNote)
	go s.forward(ctx, sending, notes)
	go r.forward(ctx, receiving, notes)
	for done := 0; done < 2; {
		var n endNote
		select {
		case n = <-notes:
		case <-ctx.Done():
			return results, &copyError{fault.Cancelled, "interrupted; run the same command again to continue"}
		}
		if err := n.failure(); err != nil {
			return results, err
		}
		switch {
		case n.note.Result != nil:
			results[n.end] = *n.note.Result
			done++
		case n.note.Statistics != nil && n.end == sending:
			progress(*n.note.Statistics)
		case n.note.Log != "":
			fmt.Fprintln(os.Stderr, n.note.Log)
		}
	}
	return results, nil
}

// forward sends the notes of a process until it has a result, has ended, or ctx is done.
func (p *endProcess) forward(ctx context.Context, end int, to chan<- endNote) {
	for {
		n, err := p.next()
		select {
		case to <- endNote{end, n, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || n.Result != nil {
			return
		}
	}
}

// failure returns why the process failed, or nil.
func (n *endNote) failure() error {
	switch {
	case n.err != nil:
		return n.err
	case n.note.Result != nil && n.note.Error != "":
		return &copyError{n.note.Reason, n.note.Error + dropHint(n.note.Reason, n.note.Error)}
	}
	return nil
}

func (o *copyOptions) printProgress(w io.Writer) func(ship.Statistics) {
	return func(f ship.Statistics) {
		if o.json {
			b, _ := json.Marshal(f)
			fmt.Fprintf(w, "%s\n", b)
			return
		}
		fmt.Fprintf(w, "%d entries, %s read, %s sent, %s on the wire\n", f.Entries,
			progress.Bytes(f.ReadBytes), progress.Bytes(f.SentBytes), progress.Bytes(f.WireBytes))
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
	_, err := fmt.Fprintf(w, "%s: %s, %s sent (%s on the wire) in %.1fs; both ends have digest %s (%s)\n",
		o.target, what, progress.Bytes(s.SentBytes), progress.Bytes(s.WireBytes), took.Seconds(), r.Digest, r.Strength)
	return err
}
