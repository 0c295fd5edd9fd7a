// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func checksums() contender { return rsync("rsync --checksum", "-aHAXS", "--checksum") }

// rsyncDevice treats devices as files.
func rsyncDevice() contender {
	return contender{name: "rsync of devices", args: func(w *world, src, dst, _ string) []string {
		to := filepath.Join(dst, "image")
		_ = exec.CommandContext(w.ctx, "touch", to).Run()
		return []string{"rsync", "-e", w.ssh(), "--copy-devices", "--inplace", "--no-whole-file", src, "root@127.0.0.1:" + to}
	}}
}

// resumed kills a first copy when half of its time has passed, and has it finished. The
// figure is both parts together beside an undisturbed copy.
func resumed(m *meter) ([]string, error) {
	m.row.first, m.row.ours = true, ours()
	c := m.row.ours
	var broken, whole, ratios []float64
	for range m.o.runs {
		t, err := m.once(c, true)
		if err != nil {
			return nil, err
		}
		dst, at := m.dst(small, c.name), m.at(small, c.name)
		if err := errors.Join(os.RemoveAll(dst), os.RemoveAll(at), os.Mkdir(dst, 0o755), os.Mkdir(at, 0o755), m.w.cold()); err != nil {
			return nil, err
		}
		args := c.args(m.w, m.src(small), dst, at)
		p := exec.CommandContext(m.w.ctx, args[0], args[1:]...)
		begin := time.Now()
		if err := p.Start(); err != nil {
			return nil, err
		}
		half := time.AfterFunc(t.wall/2, func() { _ = p.Process.Kill() })
		_ = p.Wait()
		half.Stop()
		first := time.Since(begin)
		again, err := m.w.timed(m.w.dst, args)
		if err != nil {
			return nil, err
		}
		if err := m.w.same(m.src(small), dst); err != nil {
			return nil, err
		}
		sum := (first + again.wall).Seconds()
		broken, whole, ratios = append(broken, sum), append(whole, t.wall.Seconds()), append(ratios, sum/t.wall.Seconds())
	}
	return []string{
		fmt.Sprintf("%.2f", median(broken)), "", fmt.Sprintf("%.2f (undisturbed)", median(whole)),
		fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios)), "", "", word(median(ratios) <= 1.15, "1.15 x undisturbed"),
	}, nil
}

// slowLink copies the large file for the first time while the loopback passes no more than
// a gigabit a second.
func slowLink(m *meter) ([]string, error) {
	const gigabit = 125e6
	if err := m.w.run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1gbit", "burst", "1mb", "latency", "50ms"); err != nil {
		return nil, err
	}
	defer func() { _ = m.w.run("tc", "qdisc", "del", "dev", "lo", "root") }()
	m.row.first, m.row.ours, m.row.peers = true, ours(), []contender{rsyncLZ4(), rsyncBest(), tarSSH()}
	m.row.better = 0.7
	times, err := m.runs()
	if err != nil {
		return nil, err
	}
	cells, _, err := m.cells(times)
	if err != nil {
		return nil, err
	}
	packed, err := m.packed()
	if err != nil {
		return nil, err
	}
	// What goes over such a link at best: 94.9 % of it are payload at an MTU of 1500.
	limit := float64(packed) / (gigabit * 0.949)
	own := median(walls(times[0]))
	cells[4], cells[5] = fmt.Sprintf("%.2f", limit), fmt.Sprintf("%.2f", own/limit)
	cells[6] += "; " + word(own <= 1.1*limit, "1.10 x limit")
	return cells, nil
}

// packed is what lz4 -1 makes of the large file in blocks of 256 KiB.
func (m *meter) packed() (int64, error) {
	c := exec.CommandContext(m.w.ctx, "lz4", "-1", "-B5", "-BI", "-q", "-c", m.bigFile())
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, out)
	return n, errors.Join(err, c.Wait())
}

// memory gives the most anonymous memory that one of the two processes takes in a first copy
// and in another one, before which nothing or what change says has changed. Without fill it
// is about the row's own data.
func memory(fill, change func(m *meter, dir string) error) func(m *meter) ([]string, error) {
	return func(m *meter) ([]string, error) {
		dir := m.src(m.row.data)
		if fill != nil {
			if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
				return nil, err
			}
			if err := fill(m, dir); err != nil {
				return nil, err
			}
		}
		c := ours()
		dst, at := m.dst(m.row.data, c.name), m.at(m.row.data, c.name)
		if err := errors.Join(os.RemoveAll(dst), os.RemoveAll(at), os.Mkdir(dst, 0o755), os.Mkdir(at, 0o755)); err != nil {
			return nil, err
		}
		args := c.args(m.w, m.src(m.row.data), dst, at)
		var most [2]int64
		var took [2]time.Duration
		for i := range most {
			if i == 1 && change != nil {
				if err := change(m, dir); err != nil {
					return nil, err
				}
			}
			var err error
			if most[i], took[i], err = m.watched(args); err != nil {
				return nil, err
			}
		}
		if err := m.w.same(dir, dst); err != nil {
			return nil, err
		}
		peak := max(most[0], most[1])
		return []string{
			fmt.Sprintf("%.2f, again %.2f", took[0].Seconds(), took[1].Seconds()), "", fmt.Sprintf("%d MiB, again %d MiB", most[0]>>10, most[1]>>10),
			"", "", "", word(peak <= 256<<10, "256 MiB"),
		}, nil
	}
}

// watched runs a command and gives the most anonymous memory, in KiB, of one of its children.
func (m *meter) watched(args []string) (most int64, took time.Duration, err error) {
	if err := m.w.cold(); err != nil {
		return 0, 0, err
	}
	var talk bytes.Buffer
	c := m.w.command(args)
	c.Stderr = &talk
	begin := time.Now()
	if err := c.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, tail(talk.Bytes()))
			}
			return most, time.Since(begin), err
		case <-tick.C:
			for _, pid := range children(c.Process.Pid) {
				most = max(most, anonymous(pid))
			}
		}
	}
}

// children gives the processes that a process started.
func children(pid int) (out []string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err == nil {
			out = append(out, strings.Fields(string(text))...)
		}
	}
	return out
}

// anonymous gives a process's RssAnon in KiB.
func anonymous(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return n
		}
	}
	return 0
}
