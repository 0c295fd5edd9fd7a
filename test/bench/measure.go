// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// meter measures rows.
type meter struct {
	w       *world
	o       *options
	row     row
	made    map[data]bool
	devices [2]string
	round   int
}

func (m *meter) src(d data) string {
	if d == device {
		return m.devices[0]
	}
	return filepath.Join(m.w.src, string(d))
}

func (m *meter) dst(d data, who string) string {
	if d == device && who == "motion-agent copy" {
		return m.devices[1]
	}
	return filepath.Join(m.w.dst, string(d)+"-"+strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(who))
}

func (m *meter) at(d data, who string) string {
	return filepath.Join(m.w.state, filepath.Base(m.dst(d, who)))
}

func (m *meter) bigFile() string { return filepath.Join(m.src(m.row.data), "heap") }

// files and bytes are the extent of the row's set of data.
func (m *meter) files() int {
	n, _ := m.row.data.extent(m.o)
	return int(n)
}

func (m *meter) bytes() int64 {
	_, n := m.row.data.extent(m.o)
	return n
}

// scratch makes an empty folder on the target's filesystem.
func (m *meter) scratch(name string) (string, error) {
	path := filepath.Join(m.w.dst, name)
	return path, errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o755))
}

// make makes the row's set of data, once.
func (m *meter) make(d data) error {
	if m.made[d] {
		return nil
	}
	fmt.Fprintf(m.w.talk, "making the data: %s\n", d)
	if err := m.makeNew(d); err != nil {
		return fmt.Errorf("make the data: %w", err)
	}
	m.made[d] = true
	return nil
}

// makeNew makes a set of data regardless of what an earlier attempt left.
func (m *meter) makeNew(d data) error {
	if d == device {
		return m.makeDevices()
	}
	if err := errors.Join(os.RemoveAll(m.src(d)), os.MkdirAll(m.src(d), 0o755)); err != nil {
		return err
	}
	files, bytes := d.extent(m.o)
	switch {
	case d == many: // each of its rows makes its own
		return nil
	case d == wal:
		return makeLog(m.src(d), bytes/segments)
	case bytes > 0:
		return makeBig(m.bigFile(), bytes)
	}
	return makeSmall(m.src(d), int(files), perDir, 16<<10, 0)
}

// forget removes a set of data and all copies of it.
func (m *meter) forget(d data) error {
	if d == device {
		m.close()
	}
	delete(m.made, d)
	var err error
	for _, dir := range []string{m.w.src, m.w.dst, m.w.state} {
		left, failed := filepath.Glob(filepath.Join(dir, string(d)+"-*"))
		err = errors.Join(err, failed)
		for _, path := range append(left, filepath.Join(dir, string(d)), filepath.Join(dir, string(d)+".img")) {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	m.w.room()
	return err
}

// makeDevices makes two devices of the same size, one of them with a database's file.
func (m *meter) makeDevices() error {
	m.close()
	for i, dir := range []string{m.w.src, m.w.dst} {
		image := filepath.Join(dir, "device.img")
		f, err := os.Create(image)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(m.o.bigMiB<<20), f.Close()); err != nil {
			return err
		}
		if i == 0 {
			if err := makeBig(image, m.o.bigMiB<<20); err != nil {
				return err
			}
		}
		if m.devices[i], err = m.w.loop(image); err != nil {
			return err
		}
	}
	return nil
}

func (m *meter) close() {
	for i, d := range m.devices {
		if d != "" {
			_ = m.w.runAnyway("losetup", "--detach", d)
		}
		m.devices[i] = ""
	}
}

// measure writes the table to out. A row that goes wrong is void, and the others are measured.
func measure(w *world, o *options, rows []row, out io.Writer) error {
	m := &meter{w: w, o: o, made: map[data]bool{}}
	defer m.close()
	fmt.Fprintf(out, "%s\n\n| work | ours, s | processor, s | best peer, s | ratio (spread) | limit, s | ratio | target |\n|---|---|---|---|---|---|---|---|\n", head(w, o))
	var notes []string
	var failed error
	for i, r := range rows {
		m.row = r
		fmt.Fprintf(w.talk, "%s\n", r.name)
		cells, more, err := m.patiently()
		if w.ctx.Err() == nil && !slices.ContainsFunc(rows[i+1:], func(later row) bool { return later.data == r.data }) {
			// The disk need not have room for all sets of data at once.
			if err := m.forget(r.data); err != nil {
				fmt.Fprintf(w.talk, "  what it left could not be removed: %v\n", err)
			}
		}
		if err != nil {
			fmt.Fprintf(w.talk, "  void: %v\n", err)
			cells = []string{"void: " + short(err)}
			failed = errors.Join(failed, fmt.Errorf("%s: void", r.name))
		}
		name := r.name
		if r.gates {
			name = "**" + name + "**"
		}
		for len(cells) < 7 {
			cells = append(cells, "")
		}
		fmt.Fprintf(out, "| %s | %s |\n", name, strings.Join(cells, " | "))
		notes = append(notes, more...)
		if w.ctx.Err() != nil {
			failed = errors.Join(failed, w.ctx.Err())
			break
		}
	}
	fmt.Fprintln(out)
	for _, n := range notes {
		fmt.Fprintf(out, "- %s\n", n)
	}
	return failed
}

// short is the beginning of an error; the whole of it goes to the other stream.
func short(err error) string {
	text := strings.ReplaceAll(strings.SplitN(err.Error(), "\n", 2)[0], "|", "/")
	return text[:min(len(text), 80)]
}

// patiently measures a row, but not forever.
func (m *meter) patiently() (cells, notes []string, err error) {
	whole := m.w.ctx
	ctx, cancel := context.WithTimeout(whole, m.o.wait)
	m.w.ctx = ctx
	defer func() {
		cancel()
		m.w.ctx = whole
	}()
	cells, notes, err = m.line()
	switch {
	case err != nil && whole.Err() != nil:
		err = errors.New("broken off")
	case err != nil && ctx.Err() != nil:
		err = fmt.Errorf("took more than %s", m.o.wait)
	}
	return cells, notes, err
}

func (m *meter) line() (cells, notes []string, err error) {
	if err := m.make(m.row.data); err != nil {
		return nil, nil, err
	}
	if m.row.apart > 0 {
		if err := m.w.goFar(m.row.apart); err != nil {
			return nil, nil, fmt.Errorf("put the ends apart: %w", err)
		}
		defer func() { err = errors.Join(err, m.w.comeBack()) }()
	}
	if m.row.special != nil {
		cells, err = m.row.special(m)
		return cells, nil, err
	}
	times, err := m.runs()
	if err != nil {
		return nil, nil, err
	}
	return m.cells(times)
}

// contenders gives ours first.
func (m *meter) contenders() []contender { return append([]contender{m.row.ours}, m.row.peers...) }

// runs times everybody, one after the other, again and again. The last column is the limit.
func (m *meter) runs() ([][]timing, error) {
	all := m.contenders()
	times := make([][]timing, len(all)+1)
	if !m.row.first {
		for _, c := range all {
			if err := m.prime(c); err != nil {
				return nil, err
			}
		}
	}
	for range m.o.runs {
		m.round++
		if m.row.change != nil {
			if err := m.row.change(m, m.round); err != nil {
				return nil, err
			}
		}
		for i, c := range all {
			t, err := m.once(c, true)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Fprintf(m.w.talk, "  %-20s %7.3f s, %7.3f s of processor\n", c.name, t.wall.Seconds(), t.cpu.Seconds())
			times[i] = append(times[i], t)
		}
		if m.row.limits != nil {
			t, err := m.limit()
			if err != nil {
				return nil, err
			}
			times[len(all)] = append(times[len(all)], t)
		}
	}
	return times, nil
}

// prime brings a contender's target up to date without a clock.
func (m *meter) prime(c contender) error {
	_, err := m.once(c, false)
	return err
}

// once runs a contender and has the oracle judge it.
func (m *meter) once(c contender, judge bool) (timing, error) {
	d := m.row.data
	dst, at := m.dst(d, c.name), m.at(d, c.name)
	if m.row.first {
		if err := errors.Join(os.RemoveAll(dst), os.RemoveAll(at)); err != nil {
			return timing{}, err
		}
	}
	if d != device || c.name != "motion-agent copy" {
		if err := os.MkdirAll(dst, 0o755); err != nil {
			return timing{}, err
		}
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return timing{}, err
	}
	t, err := m.w.timed(m.w.dst, c.args(m.w, m.src(d), dst, at))
	if err == nil && judge && !c.lossy {
		err = m.judge(c, dst)
	}
	if err != nil || !m.row.frugal {
		return t, err
	}
	err = errors.Join(os.RemoveAll(dst), os.RemoveAll(at))
	m.w.room()
	return t, err
}

// judge lets the oracle look at what a contender made.
func (m *meter) judge(c contender, dst string) error {
	switch {
	case m.row.data != device:
		return m.w.same(m.src(m.row.data), dst)
	case c.name == "motion-agent copy":
		return m.w.run("cmp", m.src(device), dst)
	}
	return nil
}

// limit gives the best of the bare programs.
func (m *meter) limit() (timing, error) {
	var best timing
	for _, args := range m.row.limits(m, m.round) {
		t, err := m.w.timed(m.w.dst, args)
		if err != nil {
			return t, err
		}
		if best.wall == 0 || t.wall < best.wall {
			best = t
		}
	}
	if err := m.work(&best); err != nil {
		return best, err
	}
	fmt.Fprintf(m.w.talk, "  %-20s %7.3f s, %7.3f s of processor\n", "limit", best.wall.Seconds(), best.cpu.Seconds())
	left, err := filepath.Glob(filepath.Join(m.w.dst, "limit*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return best, err
}

// work adds what the row's bytes cost besides, and makes the limit what all of it takes on all
// cores when that is more than its calls took.
func (m *meter) work(best *timing) error {
	if len(m.row.work) == 0 {
		return nil
	}
	for _, args := range m.row.work {
		t, err := m.w.timed(m.w.dst, m.w.bare(append(args, strconv.FormatInt(sample, 10))...))
		if err != nil {
			return err
		}
		best.cpu += time.Duration(float64(t.cpu) * float64(m.bytes()) / sample)
	}
	best.wall = max(best.wall, best.cpu/time.Duration(runtime.NumCPU()))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func walls(t []timing) []float64 {
	out := make([]float64, len(t))
	for i := range t {
		out[i] = t[i].wall.Seconds()
	}
	return out
}

// cells formats the results of a row.
func (m *meter) cells(times [][]timing) (cells, notes []string, err error) {
	all := m.contenders()
	ours := walls(times[0])
	var cpu []float64
	for _, t := range times[0] {
		cpu = append(cpu, t.cpu.Seconds())
	}
	if !slices.ContainsFunc(all[1:], func(c contender) bool { return !c.near }) {
		return nil, nil, errors.New("the row has no peer to compare with")
	}
	best := 0
	var others []string
	for i := 1; i < len(all); i++ {
		others = append(others, fmt.Sprintf("%s %.2f s", all[i].name, median(walls(times[i]))))
		if !all[i].near && (best == 0 || median(walls(times[i])) < median(walls(times[best]))) {
			best = i
		}
	}
	peer := walls(times[best])
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / peer[i]
	}
	ratio := median(ratios)
	cells = []string{
		fmt.Sprintf("%.2f", median(ours)), fmt.Sprintf("%.2f", median(cpu)), fmt.Sprintf("%.2f (%s)", median(peer), all[best].name),
		fmt.Sprintf("%.2f (%.2f to %.2f)", ratio, slices.Min(ratios), slices.Max(ratios)), "", "", "",
	}
	verdict := []string{}
	if m.row.better > 0 {
		verdict = append(verdict, word(ratio <= m.row.better, fmt.Sprintf("%.2f x peer", m.row.better)))
	}
	if limit := times[len(all)]; len(limit) > 0 {
		l := median(walls(limit))
		cells[4], cells[5] = fmt.Sprintf("%.2f", l), fmt.Sprintf("%.2f", median(ours)/l)
		if m.row.within > 0 {
			text := fmt.Sprintf("%.2f x limit", m.row.within)
			if m.row.slack > 0 {
				text += fmt.Sprintf(" + %.1f s", m.row.slack.Seconds())
			}
			verdict = append(verdict, word(median(ours) <= m.row.within*l+m.row.slack.Seconds(), text))
		}
	}
	cells[6] = strings.Join(verdict, "; ")
	note := m.row.name + ": " + strings.Join(others, ", ")
	if w := wireNote(times[0][len(ours)-1].out); w != "" {
		note += "; " + w
	}
	return cells, []string{note + "."}, nil
}

func word(reached bool, target string) string {
	if reached {
		return "pass " + target
	}
	return "miss " + target
}

// wireNote says what our last run read and sent.
func wireNote(out []byte) string {
	var r struct {
		ScannedBytes, ReadBytes, SentBytes, WireBytes int64
		ScanSeconds, VerifySeconds                    float64
	}
	if json.Unmarshal(out, &r) != nil || r.ScannedBytes == 0 {
		return ""
	}
	part := func(n int64) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(r.ScannedBytes)) }
	return fmt.Sprintf("ours read %s of the content, sent %s, %s on the wire", part(r.ReadBytes), part(r.SentBytes), part(r.WireBytes))
}

// chmodAll gives every file another mode.
func chmodAll(m *meter, round int) error {
	mode := fs.FileMode(0o644)
	if round%2 == 0 {
		mode = 0o640
	}
	return filepath.WalkDir(m.src(small), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chmod(path, mode)
	})
}
