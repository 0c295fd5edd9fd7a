// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// needs says what must be on the machine to the Debian package that has it.
func needs() []need {
	return []need{
		{"runc", "runc"},
		{"/usr/lib/cni/bridge", "containernetworking-plugins"},
		{"iptables", "iptables"},
		{"ip", "iproute2"},
		{"tc", "iproute2"},
		{"mkfs.xfs", "xfsprogs"},
		{"mkfs.btrfs", "btrfs-progs"},
		{"losetup", "mount"},
		{"nsenter", "util-linux"},
		{"modprobe", "kmod"},
	}
}

type need struct{ path, pkg string }

// requirements installs the Debian packages that are missing, or says what is.
func requirements(ctx context.Context, say io.Writer) error {
	var missing, packages []string
	for _, n := range needs() {
		if _, err := exec.LookPath(n.path); err != nil {
			missing = append(missing, n.path)
			packages = append(packages, n.pkg)
		}
	}
	if len(missing) == 0 {
		modules(ctx)
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing programs: %s; install what Debian calls %s",
			strings.Join(missing, ", "), strings.Join(packages, ", "))
	}
	fmt.Fprintf(say, "installing %s\n", strings.Join(packages, ", "))
	install := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)
	for _, args := range [][]string{{"update", "-qq"}, install} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	modules(ctx)
	return nil
}

// modules asks for the kernel modules that a lab uses and that are not loaded automatically. On many kernels they are built
// in and there is no modprobe; what is really missing is reported where it is needed.
func modules(ctx context.Context) {
	for _, name := range []string{"br_netfilter", "overlay", "loop", "xfs"} {
		_ = exec.CommandContext(ctx, "modprobe", "-q", name).Run()
	}
}
