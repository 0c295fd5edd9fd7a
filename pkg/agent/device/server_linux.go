// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// exchange bounds one connection.
const exchange = 10 * time.Second

// Serve opens devices for clients of socket, until ctx ends.
func Serve(ctx context.Context, socket string, devices *mount.Devices, log *slog.Logger) error {
	// A server that was killed has left its socket behind.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unixpacket", socket)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
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
			return fmt.Errorf("socket: unexpected connection type %T", conn)
		}
		go serveOne(c, devices, log)
	}
}

func serveOne(c *net.UnixConn, devices *mount.Devices, log *slog.Logger) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(exchange))
	packet := make([]byte, maxPacket)
	n, err := c.Read(packet)
	if err != nil {
		return
	}
	var r request
	if err := decode(packet[:n], &r); err != nil {
		reply(c, refusal(fault.New(v1alpha1.ReasonInternal, "%w", err)))
		return
	}
	d, err := devices.Open(r.Volume, r.PodUID, r.Write)
	if err != nil {
		log.Warn("device rejected", "volume", r.Volume, "pod", r.PodUID, "write", r.Write, "error", err)
		reply(c, refusal(err))
		return
	}
	defer func() { _ = d.Close() }()
	log.Info("device opened", "volume", r.Volume, "pod", r.PodUID, "write", r.Write, "major", d.Major, "minor", d.Minor)
	reply(c, answer{Major: d.Major, Minor: d.Minor}, int(d.File.Fd()), int(d.Direct.Fd()))
}

func reply(c *net.UnixConn, a answer, fds ...int) {
	packet, err := json.Marshal(a)
	if err != nil {
		return
	}
	_, _, _ = c.WriteMsgUnix(packet, syscall.UnixRights(fds...), nil)
}

// Confine gives up every capability of the process, for good. Root without any
// opens what root owns; that is all that devices take.
func Confine() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		if errno != 0 && errno != unix.EINVAL { // EINVAL: a capability that this kernel does not have
			return fmt.Errorf("drop capability %d: %w", c, errno)
		}
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("clear ambient capabilities: %w", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no new privileges: %w", errno)
	}
	return dropAll()
}

func dropAll() error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)), 0) //nolint:gosec // capset(2) takes two pointers
	runtime.KeepAlive(header)
	runtime.KeepAlive(data)
	if errno != 0 {
		return fmt.Errorf("drop all capabilities: %w", errno)
	}
	return nil
}
