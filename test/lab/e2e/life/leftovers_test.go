//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package life

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/test/lab/e2e/labtest"
)

const inotify = "fs/inotify/max_user_instances"

// hostState is what a lab might change on the host for everybody.
func hostState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/ipv4/ip_forward", inotify,
	} {
		data, err := os.ReadFile("/proc/sys/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(t, err)
		state[name] = strings.TrimSpace(string(data))
	}
	out, err := exec.Command("iptables-save").Output()
	must(t, err)
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "-A") || strings.HasPrefix(line, ":") {
			rule, _, _ := strings.Cut(line, " [") // without counters
			state["iptables "+strings.TrimSpace(rule)] = "there"
		}
	}
	return state
}

// slotOf returns the number that is in the lab's addresses, devices and cgroups.
func slotOf(t *testing.T, lab *labtest.Lab) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(lab.Dir, "lab.json"))
	must(t, err)
	var settings struct{ Slot int }
	must(t, json.Unmarshal(data, &settings))
	return settings.Slot
}

// assertNothingLeft looks for the lab's folder wherever the kernel keeps paths, and for changes of the host's settings.
func assertNothingLeft(t *testing.T, lab *labtest.Lab, before map[string]string) {
	t.Helper()
	others, err := filepath.Glob("/run/motion-lab/[0-9]*")
	must(t, err)
	for name, value := range hostState(t) {
		if name == inotify && len(others) > 0 {
			continue // another lab still needs it raised
		}
		if before[name] != value {
			t.Errorf("the host's %s was %q, is %q", name, before[name], value)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, p := range processes {
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		if exe, err := os.Readlink(p + "/exe"); err == nil && strings.HasPrefix(exe, lab.Dir+"/") {
			t.Errorf("process %s runs %s", p, exe)
		}
		if mounts, err := os.ReadFile(p + "/mountinfo"); err == nil && strings.Contains(string(mounts), lab.Dir+"/") {
			t.Errorf("process %s has mounts of the lab", p)
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	must(t, err)
	for _, loop := range loops {
		if file, err := os.ReadFile(loop); err == nil && strings.HasPrefix(string(file), lab.Dir+"/") {
			t.Errorf("%s is on %s", loop, file)
		}
	}
	left, err := os.ReadDir(lab.Dir)
	must(t, err)
	for _, e := range left {
		if e.Name() != "cache" && e.Name() != "lock" {
			t.Errorf("%s is left in the lab's folder", e.Name())
		}
	}
}

// assertSlotIsClean looks for the lab's number wherever the kernel keeps names and addresses.
func assertSlotIsClean(t *testing.T, slot int) {
	t.Helper()
	cgroups, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/motion-lab-%d", slot))
	must(t, err)
	unified, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/motion-lab-%d", slot))
	must(t, err)
	for _, dir := range append(cgroups, unified...) {
		t.Errorf("cgroup %s is left", dir)
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	must(t, err)
	for _, loop := range loops {
		// The file of a raw block volume, under whatever path its mount is seen from here. It stays in use as long as
		// what the kubelet made of the device is left.
		file, err := os.ReadFile(loop)
		if err == nil && strings.Contains(string(file), fmt.Sprintf("/motion-lab-%d-devices/", slot)) {
			t.Errorf("%s is left, on %s", loop, file)
		}
	}
	devices, err := filepath.Glob(fmt.Sprintf("/sys/class/net/mlab%d-*", slot))
	must(t, err)
	for _, device := range devices {
		t.Errorf("network device %s is left", device)
	}
	routes, err := exec.Command("ip", "route", "show", "table", "all").Output()
	must(t, err)
	if prefix := fmt.Sprintf("10.%d.", 213+slot); strings.Contains(string(routes), prefix) {
		t.Errorf("routes to %s* are left:\n%s", prefix, routes)
	}
	if _, err := os.Stat(fmt.Sprintf("/run/motion-lab/%d", slot)); err == nil {
		t.Errorf("slot %d is still reserved", slot)
	}
	namespaces, err := filepath.Glob("/run/netns/cni-*")
	must(t, err)
	for _, ns := range namespaces {
		t.Errorf("network namespace %s is left on the host", ns)
	}
}
