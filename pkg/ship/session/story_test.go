// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the stories now tell into testdata")

// A story is a text file of commands, each followed by what came of it, indented:
//
//	source a=1 b=2 c=      the source gets, changes or (c) loses files
//	pass, precopy          one pass runs to its end, as many sessions as it takes
//	crash receiver after=sync     in the next pass the process dies there, and the machine
//	crash sender before=scan      with it; everything that is not durable may be lost
//	drop conn after=frame         in the next pass a connection breaks
//	source changes a=9 after=scan    in the next pass somebody writes to the source
//	break swaps sync and persist     from now on the receiver has that defect
//	show                   what the volume holds, and whether that is a generation
//
// Events are those of the simulator: "frame 2", "apply 1", "sync 2", "persist 2", "judge",
// "commit", "roll a", "roll sync", "verify", "scan", "survey a"; a prefix will do.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".story"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(text) {
				t.Errorf("the story goes otherwise now (write it down with -update):\n%s", got)
			}
		})
	}
}

type trapAt struct {
	who, name string
	after     bool
	edit      string
}

type story struct {
	w     *world
	out   strings.Builder
	traps []trapAt
}

func tell(t *testing.T, text string) string {
	s := &story{w: newWorld(1)}
	s.w.inOrder = true
	s.w.say = func(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }
	s.w.trap = s.trap
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // what was told before
		}
		fmt.Fprintln(&s.out, line)
		if line != "" && line[0] != '#' && !s.command(line) {
			t.Fatalf("no such command: %s", line)
		}
	}
	return s.out.String()
}

func (s *story) command(line string) bool {
	f := strings.Fields(line)
	switch {
	case f[0] == "source" && len(f) > 1 && f[1] == "changes", f[0] == "crash", f[0] == "drop":
		return s.setTrap(line)
	case f[0] == "source":
		s.edit(f[1:])
	case f[0] == "pass" || f[0] == "precopy":
		if err := s.w.pass(f[0] == "precopy"); err != nil {
			s.w.say("VIOLATED: %v", err)
		}
	case f[0] == "break":
		s.w.broken[strings.TrimPrefix(line, "break ")] = true
	case f[0] == "show":
		s.w.say("%v, %s", s.w.disk.tree(s.w.disk.current), [...]string{"nothing known", "torn", "verified", "rolling"}[s.w.state.phase])
	default:
		return false
	}
	return true
}

func (s *story) edit(changes []string) {
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		s.w.edit(name, value)
	}
}

// setTrap reads "crash receiver after=sync 2" and its like.
func (s *story) setTrap(line string) bool {
	head, name, ok := strings.Cut(line, " after=")
	t := trapAt{name: name, after: true}
	if !ok {
		head, t.name, ok = strings.Cut(line, " before=")
		t.after = false
	}
	f := strings.Fields(head)
	if t.who = f[1]; f[0] == "source" {
		t.who, t.edit = "source", strings.Join(f[2:], " ")
	}
	s.traps = append(s.traps, t)
	return ok
}

func (s *story) trap(w *world, name string, _ int, after bool) string {
	for i, t := range s.traps {
		if t.after != after || !strings.HasPrefix(name, t.name) {
			continue
		}
		s.traps = append(s.traps[:i:i], s.traps[i+1:]...)
		if t.who == "source" {
			w.say("somebody writes %s", t.edit)
			s.edit(strings.Fields(t.edit))
			return ""
		}
		return t.who
	}
	return ""
}
