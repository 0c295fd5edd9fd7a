// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package supervise keeps a set of processes running: it starts what should run, restarts what died, stops what should
// not run, and answers questions about them on a unix socket.
//
// The same code serves two places: the lab's supervisor on the host, whose children are the first processes of the
// nodes, and each of those first processes, whose children are the components. All starts happen on one locked
// thread, because the kernel ties "die with your parent" (PR_SET_PDEATHSIG) to the thread that forked.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process describes one process to keep running.
type Process struct {
	Name string
	Path string
	Args []string
	Env  []string
	Log  string // file that receives stdout and stderr

	Attr  *syscall.SysProcAttr
	Files []*os.File // passed on from descriptor 3

	// Ready says why the process cannot be started yet. It is asked again until it returns nil.
	Ready func() error
	// Started is called with the process id right after the start; when it fails the process is killed.
	Started func(pid int) error
	// Ended is called after the process has ended, for any reason.
	Ended func()
	// Abrupt processes are killed rather than asked to end.
	Abrupt bool
}

// Status is what is known about one process.
type Status struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid,omitempty"` // 0 when it does not run
	Wanted   bool      `json:"wanted"`
	Since    time.Time `json:"since"` // of the last start
	Restarts int       `json:"restarts"`
	Note     string    `json:"note,omitempty"` // why it does not run, or how it ended last
	Log      string    `json:"log"`
}

const (
	graceful   = 5 * time.Second        // between SIGTERM and SIGKILL
	backoff    = 500 * time.Millisecond // before the first restart, doubled up to maxBackoff
	maxBackoff = 4 * time.Second
	pollEvery  = 100 * time.Millisecond // while something waits for its turn
	maxLog     = 32 << 20               // a log larger than this is truncated when the process starts
)

// Set is a set of supervised processes. Use New, then Run.
type Set struct {
	members []*member
	ops     chan op
	exits   chan exit
	reaping sync.Mutex // held while a child is being started, or an orphan reaped
	own     map[int]bool
}

type member struct {
	Process
	status  Status
	cmd     *exec.Cmd
	delay   time.Duration
	due     time.Time
	killAt  time.Time
	waiters []chan error // of a stop
}

type op struct {
	verb, name string
	done       chan error
	statuses   chan []Status
}

type exit struct {
	m   *member
	cmd *exec.Cmd
	err error
}

// New makes a set of processes which all should run.
func New(processes []Process) *Set {
	s := &Set{ops: make(chan op), exits: make(chan exit), own: map[int]bool{}}
	for _, p := range processes {
		s.members = append(s.members, &member{
			Process: p, delay: backoff,
			status: Status{Name: p.Name, Wanted: true, Log: p.Log},
		})
	}
	return s
}

// Run supervises until the context ends, and then ends every process.
func (s *Set) Run(ctx context.Context) {
	runtime.LockOSThread()
	for {
		s.startDue()
		var poll <-chan time.Time
		if s.pending() {
			poll = time.After(pollEvery)
		}
		select {
		case <-ctx.Done():
			s.endAll()
			return
		case o := <-s.ops:
			s.perform(o)
		case e := <-s.exits:
			s.ended(e)
		case <-poll:
			s.killOverdue()
		}
	}
}

// pending reports whether time alone can make a difference.
func (s *Set) pending() bool {
	for _, m := range s.members {
		if (m.status.Wanted && m.cmd == nil) || !m.killAt.IsZero() {
			return true
		}
	}
	return false
}

func (s *Set) startDue() {
	for _, m := range s.members {
		if !m.status.Wanted || m.cmd != nil || time.Now().Before(m.due) {
			continue
		}
		if m.Ready != nil {
			if err := m.Ready(); err != nil {
				m.status.Note = "waits: " + err.Error()
				continue
			}
		}
		if err := s.start(m); err != nil {
			m.status.Note = err.Error()
			m.postpone()
		}
	}
}

func (m *member) postpone() {
	m.due = time.Now().Add(m.delay)
	m.delay = min(2*m.delay, maxBackoff)
}

func (s *Set) start(m *member) error {
	log, err := openLog(m.Log)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(m.Path, m.Args...)
	cmd.Env = append(os.Environ(), m.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = m.Files
	cmd.Dir = "/"
	cmd.SysProcAttr = m.Attr
	if err := s.fork(cmd); err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	m.cmd = cmd
	m.status.PID, m.status.Since, m.status.Note = cmd.Process.Pid, time.Now(), ""
	go func() { s.exits <- exit{m, cmd, cmd.Wait()} }()
	if m.Started == nil {
		return nil
	}
	if err := m.Started(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		fmt.Fprintf(log, "motion-lab: %v\n", err)
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	return nil
}

func (s *Set) fork(cmd *exec.Cmd) error {
	s.reaping.Lock()
	defer s.reaping.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.own[cmd.Process.Pid] = true
	return nil
}

func openLog(path string) (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(path, flags, 0o644)
}

func (s *Set) ended(e exit) {
	s.reaping.Lock()
	delete(s.own, e.cmd.Process.Pid)
	s.reaping.Unlock()
	m := e.m
	m.cmd, m.killAt, m.status.PID = nil, time.Time{}, 0
	if m.status.Note == "" {
		m.status.Note = "ended"
		if e.err != nil {
			m.status.Note = e.err.Error()
		}
	}
	if time.Since(m.status.Since) > 30*time.Second {
		m.delay = backoff
	}
	m.postpone()
	if m.status.Wanted {
		m.status.Restarts++
	}
	for _, w := range m.waiters {
		w <- nil
	}
	m.waiters = nil
	if m.Ended != nil {
		m.Ended()
	}
}

func (s *Set) killOverdue() {
	for _, m := range s.members {
		if m.cmd != nil && !m.killAt.IsZero() && time.Now().After(m.killAt) {
			_ = m.cmd.Process.Kill()
		}
	}
}

func (s *Set) perform(o op) {
	if o.verb == "status" {
		all := make([]Status, 0, len(s.members))
		for _, m := range s.members {
			all = append(all, m.status)
		}
		o.statuses <- all
		return
	}
	m := s.member(o.name)
	if m == nil {
		o.done <- fmt.Errorf("no component %q here", o.name)
		return
	}
	switch o.verb {
	case "start":
		m.status.Wanted, m.due, m.delay = true, time.Time{}, backoff
		o.done <- nil
	case "stop", "kill":
		m.status.Wanted = false
		m.status.Note = "stopped on request"
		m.end(o.verb == "kill" || m.Abrupt, o.done)
	case "restart":
		m.status.Wanted, m.due, m.delay = true, time.Time{}, backoff
		m.end(true, o.done)
	default:
		o.done <- fmt.Errorf("unknown operation %q", o.verb)
	}
}

// end asks a process to end, or kills it, and answers on done when it has ended.
func (m *member) end(abruptly bool, done chan error) {
	if m.cmd == nil {
		done <- nil
		return
	}
	m.waiters = append(m.waiters, done)
	signal := os.Signal(unix.SIGTERM)
	if abruptly {
		signal = unix.SIGKILL
	}
	_ = m.cmd.Process.Signal(signal)
	m.killAt = time.Now().Add(graceful)
}

func (s *Set) member(name string) *member {
	for _, m := range s.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

func (s *Set) endAll() {
	running := 0
	for _, m := range s.members {
		m.status.Wanted = false
		if m.cmd != nil {
			running++
			_ = m.cmd.Process.Kill()
		}
	}
	for ; running > 0; running-- {
		s.ended(<-s.exits)
	}
}

// Kill kills a process that runs; it is started again.
func (s *Set) Kill(name string) {
	if m := s.member(name); m != nil && m.cmd != nil {
		_ = m.cmd.Process.Kill()
	}
}

// Status returns the state of every process. It must not be called from the callbacks of a Process.
func (s *Set) Status() []Status {
	o := op{verb: "status", statuses: make(chan []Status, 1)}
	s.ops <- o
	return <-o.statuses
}

// Do performs start, stop, kill or restart on the named process; a stop returns when the process has ended.
func (s *Set) Do(verb, name string) error {
	o := op{verb: verb, name: name, done: make(chan error, 1)}
	s.ops <- o
	return <-o.done
}

// ReapOrphans collects, until the context ends, the exit status of processes whose parents died before them. The first
// process of a node inherits all of those (containerd's shims among them), and has to leave its own children to Run.
func (s *Set) ReapOrphans(ctx context.Context, childEnded <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-childEnded:
		case <-time.After(5 * time.Second): // signals coalesce
		}
		for s.reapOne() {
		}
	}
}

// reapOne reports whether to look again at once.
func (s *Set) reapOne() bool {
	s.reaping.Lock()
	defer s.reaping.Unlock()
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	pid := pidOf(&info)
	if err != nil || pid == 0 {
		return errors.Is(err, unix.EINTR)
	}
	if s.own[pid] {
		//nolint:forbidigo // Run's own wait is about to take it; until then it hides the others
		time.Sleep(time.Millisecond)
		return true
	}
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return true
}
