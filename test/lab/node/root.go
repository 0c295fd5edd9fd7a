// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package node turns a process that was started in new namespaces into a node: it builds a root filesystem, mounts the
// node's volumes, and keeps the components running.
//
// The process is the first of its own PID namespace. That makes a node a thing which can be switched off: when this
// process is killed the kernel kills everything in the namespace, containers included, and with the last process go
// the mounts and the network. What the lab leaves after a kill -9 is therefore only files and empty cgroups.
package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// root is a node's root filesystem under construction.
type root struct {
	node *topology.Node
	lab  *topology.Lab
	dir  string
}

// enterRoot gives the calling process, which must be in a mount namespace of its own, the node's root filesystem: the
// host's own files below a layer in memory, so that a node may write anywhere and nothing of it stays; /var from the
// node's folder, because containerd's snapshots need a real filesystem and the data has to survive a restart.
func enterRoot(lab *topology.Lab, n *topology.Node) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach from the host's mounts: %w", err)
	}
	r := &root{node: n, lab: lab, dir: filepath.Join(n.Dir(), "root")}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"overlay on the host's files", r.overlay},
		{"the host's further filesystems", r.submounts},
		{"/var, /run and /tmp", r.writable},
		{"/dev, /sys and /proc", r.kernel},
		{"volumes", r.volumes},
		{"the lab's folder", r.labDir},
		{"kernel settings", r.settings},
		{"change of root", r.pivot},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %s: %w", n.Ref(), step.what, err)
		}
	}
	return nil
}

func (r *root) path(p string) string { return filepath.Join(r.dir, p) }

func (r *root) overlay() error {
	layers := filepath.Join(r.node.Dir(), "layers")
	if err := mkdirs(r.dir, layers); err != nil {
		return err
	}
	if err := mount("tmpfs", layers, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	if err := mkdirs(upper, work); err != nil {
		return err
	}
	return mount("overlay", r.dir, "overlay", 0, "lowerdir=/,upperdir="+upper+",workdir="+work)
}

// submounts makes visible what the host has mounted on its root filesystem, such as a separate /usr or /opt: an overlay
// shows only the one filesystem it is made of.
func (r *root) submounts() error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, at := range hostMounts(string(data)) {
		if strings.HasPrefix(at+"/", r.lab.Dir+"/") {
			continue
		}
		if err := bind(at, r.path(at)); err != nil {
			return err
		}
	}
	return nil
}

// hostMounts picks from mountinfo the mount points that a node needs from the host: those below the folders that hold
// programs and their configuration.
func hostMounts(mountinfo string) []string {
	var found []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		for _, top := range []string{"/bin", "/sbin", "/lib", "/lib64", "/usr", "/opt", "/etc", "/nix"} {
			if fields[4] == top || strings.HasPrefix(fields[4], top+"/") {
				found = append(found, fields[4])
				break
			}
		}
	}
	return found
}

func (r *root) writable() error {
	v := r.node.Var()
	if err := mkdirs(v, v+"/lib", v+"/log", v+"/tmp", v+"/local", r.node.Logs()); err != nil {
		return err
	}
	if err := os.Symlink("/run", v+"/run"); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := bind(v, r.path("/var")); err != nil {
		return err
	}
	if err := mount("tmpfs", r.path("/run"), "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	return mount("tmpfs", r.path("/tmp"), "tmpfs", 0, "mode=1777")
}

func (r *root) kernel() error {
	for _, dir := range []string{"/dev", "/sys"} {
		if err := bind(dir, r.path(dir)); err != nil {
			return err
		}
	}
	return mount("proc", r.path("/proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

func (r *root) labDir() error {
	if err := mkdirs(r.path(r.lab.Dir)); err != nil {
		return err
	}
	// Not recursive: the root under construction is itself mounted in there.
	return mount(r.lab.Dir, r.path(r.lab.Dir), "", unix.MS_BIND, "")
}

// volumes mounts the node's volume filesystem. mount(8) makes a loop device that frees itself with the last unmount.
func (r *root) volumes() error {
	at := r.path(topology.Volumes)
	if err := mkdirs(at); err != nil {
		return err
	}
	out, err := exec.Command("mount", "-t", "xfs", "-o", "loop", r.node.VolumeImage(), at).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount %s: %w: %s", r.node.VolumeImage(), err, strings.TrimSpace(string(out)))
	}
	return mkdirs(at+"/local", at+"/hostPath")
}

// wantedByKubelet are the kernel settings that a kubelet insists on and would write, for the whole machine.
var wantedByKubelet = map[string]string{
	"vm/overcommit_memory":     "1",
	"vm/panic_on_oom":          "0",
	"kernel/panic":             "10",
	"kernel/panic_on_oops":     "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// settings covers those kernel settings with files that already have the wanted value: a lab has no business to make
// its host panic on an oops.
func (r *root) settings() error {
	dir := r.path("/run/kernel-settings")
	if err := mkdirs(dir); err != nil {
		return err
	}
	for name, value := range wantedByKubelet {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(file, r.path("/proc/sys/"+name)); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes dir the root and lets go of the host's. Mounts are shared from here on, or pods with HostToContainer
// propagation would be refused ("not a shared or slave mount").
func (r *root) pivot() error {
	if err := os.Chdir(r.dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}

func mkdirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}
