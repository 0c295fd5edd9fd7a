// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Client asks for devices at a socket.
type Client struct{ Socket string }

// Available fails with the reason BlockDevicesDisabled when no process listens.
func (c *Client) Available() error {
	if _, err := os.Lstat(c.Socket); err != nil {
		return off(err)
	}
	return nil
}

// Open opens the raw block volume that the kubelet mapped for a pod. What comes
// back is proved to be a block device, with the numbers that the other side says
// the kubelet's mapping has, on both descriptors.
func (c *Client) Open(ctx context.Context, volume, podUID string, write bool) (*mount.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixpacket", c.Socket)
	if err != nil {
		return nil, off(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(exchange))
	packet, err := json.Marshal(request{Volume: volume, PodUID: podUID, Write: write})
	if err != nil {
		return nil, fault.New(v1alpha1.ReasonInternal, "%w", err)
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, broken(volume, err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fault.New(v1alpha1.ReasonInternal, "unexpected connection type %T", conn)
	}
	a, files, err := read(unixConn, volume)
	if err != nil {
		return nil, broken(volume, err)
	}
	d, err := assemble(a, files)
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return nil, err
	}
	return d, nil
}

func broken(volume string, err error) error {
	return fault.New(v1alpha1.ReasonQueued, "the devices container did not answer for PersistentVolume %s: %w", volume, err)
}

// read takes one answer with its descriptors.
func read(conn *net.UnixConn, name string) (a answer, files []*os.File, err error) {
	packet, oob := make([]byte, maxPacket), make([]byte, syscall.CmsgSpace(4*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(packet, oob)
	if err != nil {
		return a, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return a, nil, err
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), name))
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		err = fmt.Errorf("got more than 2 descriptors")
	}
	if err == nil {
		err = decode(packet[:n], &a)
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return a, nil, err
	}
	return a, files, nil
}

func assemble(a answer, files []*os.File) (*mount.Device, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	if len(files) != 2 {
		return nil, fault.New(v1alpha1.ReasonInternal, "expected 2 descriptors for a device, got %d", len(files))
	}
	for _, f := range files {
		if err := mount.IsDevice(int(f.Fd()), unix.Mkdev(a.Major, a.Minor)); err != nil {
			return nil, fault.New(v1alpha1.ReasonMountInvalid, "%w", err)
		}
	}
	return &mount.Device{File: files[0], Direct: files[1], Major: a.Major, Minor: a.Minor}, nil
}
