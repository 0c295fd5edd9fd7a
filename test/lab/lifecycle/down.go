// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/test/lab/cgroup"
	"github.com/kubectl-motion/kubectl-motion/test/lab/fabric"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// Down takes a lab down, from any state. What was costly to make (images) is kept, unless everything is to be
// purged.
func Down(dir string, purge bool, say io.Writer) error {
	release, err := lock(dir)
	if err != nil {
		return err
	}
	defer release()
	lab, err := Open(dir)
	if errors.Is(err, ErrNoLab) {
		fmt.Fprintf(say, "no lab in %s\n", dir)
		return purgeDir(dir, purge)
	}
	if err != nil {
		return err
	}
	if err := sweep(lab); err != nil {
		return err
	}
	for _, path := range []string{
		filepath.Join(dir, "nodes"), filepath.Join(dir, "clusters"), lab.Run(), lab.Bin(),
		lab.Kubeconfig(), slotFile(lab.Slot), settingsFile(dir),
	} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := restoreInotify(); err != nil {
		return err
	}
	return purgeDir(dir, purge)
}

func purgeDir(dir string, purge bool) error {
	if !purge {
		return nil
	}
	return os.RemoveAll(dir)
}

// sweep ends every process of the lab and removes what the kernel keeps of it: cgroups, network devices, mounts and
// loop devices. Processes are found by the lab's cgroup, so that neither a reused process id nor a lost pid file can
// mislead it.
func sweep(lab *topology.Lab) error {
	tree, err := cgroup.Detect()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(20 * time.Second)
	for tree.Kill(lab.Cgroup()) > 0 {
		if time.Now().After(deadline) {
			return fmt.Errorf("processes survive SIGKILL: %v", tree.Processes(lab.Cgroup()))
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the kernel sends no event
	}
	for _, c := range lab.Clusters {
		if _, err := os.Stat("/sys/class/net/" + c.HostDevice()); err == nil {
			// It may be removed at this moment, with the namespace at its other end.
			if err := fabric.In(0, "link del "+c.HostDevice()+"\n"); err != nil && exists("/sys/class/net/"+c.HostDevice()) {
				return err
			}
		}
	}
	if err := unmountBelow(lab.Dir); err != nil {
		return err
	}
	if err := freeLoops(lab, deadline); err != nil {
		return err
	}
	return removeCgroups(tree, lab.Cgroup(), deadline)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// removeCgroups tries again for a while: a cgroup is busy until the kernel has buried the last process in it.
func removeCgroups(tree *cgroup.Tree, path string, deadline time.Time) error {
	for {
		err := tree.Remove(path)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the kernel sends no event
	}
}

// unmountBelow removes mounts of the lab from the caller's mount namespace. There are none unless they were made by
// hand, but removing the folder through one would be worse than looking.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	for _, point := range slices.Backward(points) { // later mounts may be on top of earlier ones
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// freeLoops detaches loop devices on the lab's files. They detach themselves with their last mount, which the kernel
// may still be busy with.
func freeLoops(lab *topology.Lab, deadline time.Time) error {
	for {
		left := loops(lab)
		if len(left) == 0 {
			return nil
		}
		for _, device := range left {
			_ = exec.Command("losetup", "-d", device).Run()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("loop devices stay in use: %s", strings.Join(left, ", "))
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the kernel sends no event
	}
}

// loops returns the loop devices that belong to the lab: whose backing file is one of the lab's, as sysfs-block(5)
// tells (loop/backing_file), and those that are made of such a device in turn. The kubelet makes one of the latter for
// each raw block volume in use, so that the device is not removed.
func loops(lab *topology.Lab) []string {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil
	}
	var direct, found []string
	numbers := map[uint64]bool{}
	for _, file := range files {
		backing, err := os.ReadFile(file)
		device := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(file)))
		name := string(backing)
		if err != nil || !strings.HasPrefix(name, lab.Dir+"/") && !strings.Contains(name, "/"+filepath.Base(lab.Devices())+"/") {
			continue
		}
		direct = append(direct, device)
		var st unix.Stat_t
		if unix.Stat(device, &st) == nil {
			numbers[st.Rdev] = true
		}
	}
	for _, file := range files {
		device := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(file)))
		if numbers[madeOf(device)] {
			found = append(found, device)
		}
	}
	return append(found, direct...)
}

// madeOf returns the number of the device that a loop device is made of, 0 if it is made of a file. See loop(4).
func madeOf(device string) uint64 {
	f, err := os.Open(device)
	if err != nil {
		return 0
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err != nil {
		return 0
	}
	return info.Rdevice
}
