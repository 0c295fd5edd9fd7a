// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// trafficOf reads the kernel's statistics of a connection; ok is false when there are none.
func trafficOf(c net.Conn) (t traffic, ok bool) {
	s, isSocket := c.(syscall.Conn)
	if !isSocket {
		return t, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return t, false
	}
	var info *unix.TCPInfo
	if err := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil || info == nil {
		return t, false
	}
	return traffic{
		busy: time.Duration(info.Busy_time) * time.Microsecond, closed: time.Duration(info.Rwnd_limited) * time.Microsecond,
		bytes: info.Bytes_acked, trip: info.Rtt,
	}, true
}
