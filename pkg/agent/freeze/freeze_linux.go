// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Requests of ioctl(2), from linux/fs.h; package unix does not have them.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// request comes with a descriptor of the filesystem.
type request struct {
	Hold time.Duration `json:"hold"`
}

// answer: Held is set in the last one, when the filesystem stood still until then.
type answer struct {
	Held  bool   `json:"held"`
	Error string `json:"error,omitempty"`
}

const maxPacket = 1 << 10

// Own proves that the filesystem of the directory f, a volume below the kubelet's
// pods folder podsDir, may be frozen. The error is ErrShared when it may not.
func Own(f *os.File, podsDir string) error {
	var stx unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stx); err != nil {
		return os.NewSyscallError("statx", err)
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return fmt.Errorf("mountinfo: %w", err)
	}
	return own(string(text), strconv.FormatUint(stx.Mnt_id, 10), podsDir)
}

func freeze(fd int) error {
	return os.NewSyscallError("FIFREEZE", unix.IoctlSetInt(fd, fiFreeze, 0))
}

// thaw is content with a filesystem that is thawed already.
func thaw(fd int) (wasFrozen bool, err error) {
	err = unix.IoctlSetInt(fd, fiThaw, 0)
	if errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	return err == nil, os.NewSyscallError("FITHAW", err)
}

// Keep is the keeper: it freezes and thaws for whoever connects to socket, until ctx
// ends. When it returns everything is thawed.
func Keep(ctx context.Context, socket string, log *slog.Logger) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unixpacket", socket)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var work sync.WaitGroup
	defer work.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		c, ok := conn.(*net.UnixConn)
		if !ok {
			return fmt.Errorf("socket: a %T", conn)
		}
		work.Go(func() { keepOne(ctx, c, log) })
	}
}

// keepOne serves one freeze from its beginning to its end.
func keepOne(ctx context.Context, c *net.UnixConn, log *slog.Logger) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(MaxHold))
	r, f, err := take(c)
	if err != nil {
		_ = say(c, answer{Error: err.Error()})
		return
	}
	defer func() { _ = f.Close() }()
	begun := time.Now()
	if err := freeze(int(f.Fd())); err != nil {
		_ = say(c, answer{Error: err.Error()})
		return
	}
	err = say(c, answer{})
	if err == nil {
		// A packet lets go; the end of the connection and of the time do, too.
		_ = c.SetReadDeadline(begun.Add(r.Hold))
		if ctx.Err() != nil {
			_ = c.SetReadDeadline(begun) // the keeper ended before that deadline was set
		}
		var n int
		if n, err = c.Read(make([]byte, 1)); err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	held, thawing := thaw(int(f.Fd()))
	log.Info("filesystem thawed", "after", time.Since(begun), "why", err, "held", held, "error", thawing)
	out := answer{Held: held && err == nil}
	if thawing != nil {
		out.Error = thawing.Error()
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_ = say(c, out)
}

func say(c *net.UnixConn, a answer) error {
	packet, err := json.Marshal(a)
	if err == nil {
		_, err = c.Write(packet)
	}
	return err
}

func take(c *net.UnixConn) (r request, f *os.File, err error) {
	packet, oob := make([]byte, maxPacket), make([]byte, syscall.CmsgSpace(4))
	n, oobn, _, _, err := c.ReadMsgUnix(packet, oob)
	if err != nil {
		return r, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return r, nil, fmt.Errorf("no descriptor came with the request: %w", err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return r, nil, fmt.Errorf("%d descriptors came with the request: %w", len(fds), err)
	}
	syscall.CloseOnExec(fds[0])
	f = os.NewFile(uintptr(fds[0]), "volume")
	if err = json.Unmarshal(packet[:n], &r); err == nil && (r.Hold <= 0 || r.Hold > MaxHold) {
		err = fmt.Errorf("a freeze of %s: want more than nothing and up to %s", r.Hold, MaxHold)
	}
	if err != nil {
		_ = f.Close()
	}
	return r, f, err
}

// Frozen is a filesystem that stands still.
type Frozen struct {
	conn *net.UnixConn
	root *os.File
	once sync.Once
	held bool
	err  error
	done chan struct{}
	last answer
	lost error
}

// Hold freezes the filesystem of root for at most hold. It must be the volume's own:
// see Own. root stays the caller's to close, after Release.
func Hold(ctx context.Context, socket string, root *os.File, hold time.Duration) (*Frozen, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixpacket", socket)
	if err != nil {
		return nil, fmt.Errorf("nobody keeps freezes: %w", err)
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("a %T for a socket", conn)
	}
	// Freezing waits for the writers of the moment.
	_ = c.SetDeadline(time.Now().Add(MaxHold))
	packet, err := json.Marshal(request{Hold: hold})
	if err == nil {
		_, _, err = c.WriteMsgUnix(packet, syscall.UnixRights(int(root.Fd())), nil)
	}
	f := &Frozen{conn: c, root: root, done: make(chan struct{})}
	if err == nil {
		err = f.begin()
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("freeze: %w", err)
	}
	_ = c.SetDeadline(time.Time{})
	go f.watch()
	return f, nil
}

// begin waits until the keeper says that it has frozen.
func (f *Frozen) begin() error {
	a, err := f.hear()
	switch {
	case err != nil:
		_, _ = thaw(int(f.root.Fd())) // it may be frozen, and the keeper dead
		return err
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}

func (f *Frozen) hear() (a answer, err error) {
	packet := make([]byte, maxPacket)
	n, err := f.conn.Read(packet)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF // the end of a connection of packets is an empty one
	}
	if err == nil {
		err = json.Unmarshal(packet[:n], &a)
	}
	return a, err
}

// watch waits for the keeper's last word. A keeper that ends without one was killed:
// then nobody else thaws.
func (f *Frozen) watch() {
	defer close(f.done)
	if f.last, f.lost = f.hear(); f.lost != nil {
		_, _ = thaw(int(f.root.Fd()))
	}
}

// Release thaws. held says whether the filesystem stood still from Hold until now:
// only then is what was done meanwhile done to a filesystem on standby.
func (f *Frozen) Release() (held bool, err error) {
	f.once.Do(func() {
		_, asked := f.conn.Write([]byte{1})
		<-f.done
		_ = f.conn.Close()
		switch {
		case f.lost != nil:
			f.err = fmt.Errorf("the keeper of the freeze is gone: %w", f.lost)
		case f.last.Error != "":
			f.err = errors.New(f.last.Error)
		default:
			f.held = asked == nil && f.last.Held
		}
	})
	return f.held, f.err
}
