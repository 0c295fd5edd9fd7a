// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"
	"testing"
)

func TestOnlyMountsWithProgramsAreTakenFromTheHost(t *testing.T) {
	const mountinfo = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 8:2 / /usr rw - ext4 /dev/sda2 rw
24 22 0:5 / /proc rw - proc proc rw
25 22 0:6 / /home rw - tmpfs tmpfs rw
26 22 0:7 / /opt/tools ro - squashfs /dev/loop9 ro
27 22 0:8 / /usrlocal rw - tmpfs tmpfs rw
28 22 0:9 / /etc/resolv.conf ro - tmpfs tmpfs ro
29 22 0:10 / /var rw - ext4 /dev/sda3 rw
`
	want := []string{"/usr", "/opt/tools", "/etc/resolv.conf"}
	if got := hostMounts(mountinfo); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
