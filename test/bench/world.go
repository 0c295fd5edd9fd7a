// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// world is where everything is measured: three filesystems in files of their own, seen
// only by this process and its children, and a private sshd on a loopback of their own.
type world struct {
	ctx   context.Context
	agent string
	self  string
	top   string
	talk  io.Writer

	src, dst, state string // where the filesystems are mounted
	port            int
	sshd            *exec.Cmd
	quiet           []string // options of ssh
	far             *far     // while the ends are far from each other
	warm            bool     // caches stay
}

// newWorld makes the filesystems, of which each may grow to size bytes.
// With more files than the usual ones their blocks are small, or the disk would be full of
// the unused parts of large ones.
func newWorld(ctx context.Context, agent, dir string, size, files int64, talk io.Writer) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	top, err := os.MkdirTemp(dir, "motion-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{ctx: ctx, agent: agent, self: self, top: top, talk: talk}
	ext4 := []string{"mkfs.ext4", "-q", "-F", "-N", strconv.FormatInt(max(4_000_000, files+files/10), 10)}
	xfs := []string{"mkfs.xfs", "-q", "-f"}
	if files > usualFiles {
		ext4, xfs = append(ext4, "-b", "1024", "-O", "large_dir"), append(xfs, "-b", "size=1024")
	}
	for _, fs := range []struct {
		at   *string
		name string
		mkfs []string
	}{
		{&w.src, "source", ext4},
		{&w.dst, "target", xfs},
		{&w.state, "state", []string{"mkfs.ext4", "-q", "-F"}},
	} {
		*fs.at = filepath.Join(top, fs.name)
		if err := w.mount(*fs.at, size, fs.mkfs); err != nil {
			return w, err
		}
	}
	return w, nil
}

// mount makes a filesystem in a sparse file and mounts it past the page cache of the one
// below it.
func (w *world) mount(at string, size int64, mkfs []string) error {
	image := at + ".img"
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close(), os.Mkdir(at, 0o755)); err != nil {
		return err
	}
	if err := w.run(append(mkfs, image)...); err != nil {
		return err
	}
	loop, err := w.loop(image)
	if err != nil {
		return err
	}
	// Detached now, it goes away with its last user.
	return errors.Join(w.run("mount", loop, at), w.run("losetup", "--detach", loop))
}

// loop makes a device of a file.
func (w *world) loop(image string) (string, error) {
	out, err := exec.CommandContext(w.ctx, "losetup", "--find", "--show", "--direct-io=on", image).Output()
	if err != nil {
		return "", fmt.Errorf("losetup %s: %w", image, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// room gives unused blocks of the filesystems back to the one below them. Where that cannot
// be, more room is needed.
func (w *world) room() {
	for _, at := range []string{w.src, w.dst, w.state} {
		if err := errors.Join(syncFilesystem(at), w.run("fstrim", at)); err != nil {
			fmt.Fprintf(w.talk, "  room was not given back: %v\n", err)
		}
	}
}

// runAnyway is run for what has to be done although the measurement was broken off.
func (w *world) runAnyway(args ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, tail(out))
	}
	return nil
}

// run runs a command and gives what it said when it fails.
func (w *world) run(args ...string) error {
	out, err := exec.CommandContext(w.ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, tail(out))
	}
	return nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// close ends what the world started and removes what it made.
func (w *world) close() {
	w.stopSSH()
	for _, at := range []string{w.src, w.dst, w.state} {
		if at != "" {
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	}
	_ = os.RemoveAll(w.top)
}

// startSSH starts the private sshd, and a connection that everybody shares.
func (w *world) startSSH() error {
	dir := filepath.Join(w.top, "ssh")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.MkdirAll("/run/sshd", 0o755)); err != nil {
		return err
	}
	for _, key := range []string{"host", "user"} {
		if err := w.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)); err != nil {
			return err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(w.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"+
		"PermitRootLogin prohibit-password\nPasswordAuthentication no\nCiphers aes128-gcm@openssh.com\n", w.port, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		return err
	}
	w.sshd = exec.CommandContext(w.ctx, "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	if err := w.sshd.Start(); err != nil {
		return err
	}
	w.quiet = w.sshOptions("mux", strconv.Itoa(w.port))
	var last error
	for range 50 {
		if last = w.run(append(append([]string{"ssh", "-MNf"}, w.quiet...), "root@127.0.0.1")...); last == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // there is nothing of sshd's to wait for but that it answers
	}
	return last
}

func (w *world) sshOptions(mux, port string) []string {
	dir := filepath.Join(w.top, "ssh")
	return []string{
		"-S", filepath.Join(dir, mux), "-i", filepath.Join(dir, "user"), "-p", port, "-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR", "-oCompression=no", "-c", "aes128-gcm@openssh.com",
	}
}

func (w *world) stopSSH() {
	if w.sshd == nil || w.sshd.Process == nil {
		return
	}
	_ = w.runAnyway(append(append([]string{"ssh", "-O", "exit"}, w.quiet...), "root@127.0.0.1")...)
	_ = w.sshd.Process.Signal(syscall.SIGTERM)
	_ = w.sshd.Wait()
}

// ssh is the command line of a shared connection, for tools that take one.
func (w *world) ssh() string {
	if w.far != nil {
		return "ssh " + strings.Join(w.far.ssh, " ")
	}
	return "ssh " + strings.Join(w.quiet, " ")
}

// cold writes everything of ours back and forgets what was read.
func (w *world) cold() error {
	if w.warm {
		return nil
	}
	for _, at := range []string{w.src, w.dst, w.state} {
		if err := syncFilesystem(at); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// command is a contender's process. Nothing that it started outlives a row that is broken off.
func (w *world) command(args []string) *exec.Cmd {
	c := exec.CommandContext(w.ctx, args[0], args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	return c
}

// timing is one timed run.
type timing struct {
	wall, cpu time.Duration
	out       []byte
}

// timed runs a command from cold caches until what it wrote to target is on disk. The
// processor time is that of the command and its children, without what runs behind sshd.
func (w *world) timed(target string, args []string) (timing, error) {
	if err := w.cold(); err != nil {
		return timing{}, err
	}
	var out, talk bytes.Buffer
	c := w.command(args)
	c.Stdout, c.Stderr = &out, &talk
	begin := time.Now()
	if err := c.Run(); err != nil {
		return timing{}, fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, tail(out.Bytes()), tail(talk.Bytes()))
	}
	if err := syncFilesystem(target); err != nil {
		return timing{}, err
	}
	t := timing{wall: time.Since(begin), out: out.Bytes()}
	t.cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	return t, nil
}

func syncFilesystem(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Mode()&os.ModeDevice != 0 {
		return f.Sync()
	}
	return unix.Syncfs(int(f.Fd()))
}

// same is the oracle: both trees have the same content and metadata, directories' times to
// the nanosecond included. It has nothing in common with what it judges.
func (w *world) same(a, b string) error {
	out, err := exec.CommandContext(w.ctx, "rsync", "-naHAXS", "--numeric-ids", "--delete", "--checksum", "--itemize-changes", "--exclude=/lost+found", a+"/", b+"/").CombinedOutput()
	if err != nil || len(out) > 0 {
		return fmt.Errorf("the trees differ: %w\n%s", errors.Join(err), tail(out))
	}
	var lists [2][]byte
	for i, dir := range []string{a, b} {
		c := exec.CommandContext(w.ctx, "sh", "-c", `find . -path ./lost+found -prune -o -printf '%P\0%y %m %U %G %T@ %l %n\0' | tr '\n\0' '\0\n' | sort`)
		c.Dir = dir
		if lists[i], err = c.Output(); err != nil {
			return err
		}
	}
	if !bytes.Equal(lists[0], lists[1]) {
		return errors.New("the trees differ in owner, mode, time or links")
	}
	return nil
}
