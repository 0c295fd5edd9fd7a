// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// served starts a server on an empty plugins folder.
func served(t *testing.T) *Client {
	t.Helper()
	devices, err := mount.NewDevices(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Socket: filepath.Join(t.TempDir(), "s")}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, c.Socket, devices, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = devices.Close()
	})
	for c.Available() != nil { // until it listens
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	return c
}

func TestARefusalReachesTheAgentWithItsReason(t *testing.T) {
	c := served(t)
	_, err := c.Open(t.Context(), "pv", "5b3a4a6e-6f0c-4f7e-9b1e-000000000001", false)
	if fault.Reason(err) != v1alpha1.ReasonMountInvalid {
		t.Errorf("error %v", err)
	}
}

func TestWithoutTheSecondContainerBlockDevicesAreOff(t *testing.T) {
	c := &Client{Socket: filepath.Join(t.TempDir(), "nobody")}
	if err := c.Available(); fault.Reason(err) != v1alpha1.ReasonBlockDevicesDisabled {
		t.Errorf("available: %v", err)
	}
	if _, err := c.Open(t.Context(), "pv", "pod", false); fault.Reason(err) != v1alpha1.ReasonBlockDevicesDisabled {
		t.Errorf("open: %v", err)
	}
}

// answering serves one connection with a fixed answer.
func answering(t *testing.T, a answer, files ...*os.File) *Client {
	t.Helper()
	c := &Client{Socket: filepath.Join(t.TempDir(), "s")}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unixpacket", c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Read(make([]byte, maxPacket))
		packet, _ := json.Marshal(a)
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		if u, ok := conn.(*net.UnixConn); ok {
			_, _, _ = u.WriteMsgUnix(packet, syscall.UnixRights(fds...), nil)
		}
	}()
	return c
}

func TestWhatIsNoDeviceIsNotTakenFromTheOtherContainer(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for name, files := range map[string][]*os.File{"two files": {file, file}, "one file": {file}, "three files": {file, file, file}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			_, err := answering(t, answer{Major: 1, Minor: 3}, files...).Open(t.Context(), "pv", "pod", false)
			if err == nil {
				t.Fatal("it was taken")
			}
		})
	}
}
