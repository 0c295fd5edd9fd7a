// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// names are all there are, in order; the root comes first.
var names = []string{rootName, "a", "b", "c", "d", "e"}

type simOp struct {
	path, value string
	gone        bool
}

type simFrame struct {
	session int
	seq     uint64
	ops     []simOp
}

// world is a source, a volume, two machines and the connections between them. Whatever can
// happen next is an event; the dice choose one, and a trap may let something die before or
// after it.
type world struct {
	r       *rand.Rand
	inOrder bool // stories: the first event that can happen does
	broken  map[string]bool
	say     func(format string, args ...any)

	source  tag
	edition int
	disk    *disk
	state   *state

	sessions int
	precopy  bool
	snd      *simSender
	rcv      *simReceiver
	// Control messages on their way, and frames by connection.
	toReceiver, toSender []wire.Message
	conns                [2][]simFrame
	limbo                []simFrame // of sessions that are over
	lost                 string     // why the session must end

	// acked is what was acknowledged and not touched since: disk name to value.
	acked      map[string]string
	violations []string

	events int
	trap   func(w *world, name string, n int, after bool) (who string)
}

func newWorld(seed uint64) *world {
	w := &world{
		r: rand.New(rand.NewPCG(seed, 1)), broken: map[string]bool{}, source: tag{rootName: "m0"}, disk: newDisk(),
		state: &state{}, acked: map[string]string{}, say: func(string, ...any) {},
	}
	w.disk.touched = func(name string) { delete(w.acked, name) }
	return w
}

func (w *world) violated(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// edit changes the source; "" removes.
func (w *world) edit(path, value string) {
	w.edition++
	w.source[rootName] = fmt.Sprint("m", w.edition)
	if w.source[path] = value; value == "" {
		delete(w.source, path)
	}
	if w.snd != nil {
		w.snd.moved = true
	}
}

// simSender drives a Sender as package ship does.
type simSender struct {
	w       *world
	id      int
	m       *Sender
	base    tag
	through int // names of which the base is known
	next    int // name to read
	read    tag
	seq     uint64
	scan    bool
	moved   bool
	over    bool
}

func (s *simSender) actions() {
	for _, a := range s.m.Ready() {
		s.w.note("S", a)
		switch a := a.(type) {
		case Send:
			s.w.toReceiver = append(s.w.toReceiver, a.M)
		case Scan:
			s.scan = true
		case Feed:
			b := a.M.(wire.Base)
			for _, r := range b.Records {
				if !r.Gone {
					s.base[r.Entry.Path] = r.Entry.Link
				}
			}
			s.through = slices.Index(names, b.Through) + 1
		case End:
			if a.Err == nil {
				s.over = true
			} else {
				s.w.lost = fmt.Sprint("sender: ", a.Err)
			}
		}
	}
}

// step reads one path, or says that all are read.
func (s *simSender) step() {
	if s.next == len(names) {
		s.scan = false
		s.w.sstep(Scanned{Done: wire.Done{
			Last: s.seq, Entries: int64(len(s.read)), Digest: s.read.digest(), Verify: !s.w.precopy && !s.moved,
		}})
		return
	}
	p := names[s.next]
	s.next++
	value, there := s.w.source[p]
	if there {
		s.read[p] = value
	}
	if old, has := s.base[p]; has == there && old == value {
		return
	}
	s.seq++
	f := simFrame{session: s.id, seq: s.seq, ops: []simOp{{p, value, !there}}}
	c := s.w.choose(len(s.w.conns))
	s.w.conns[c] = append(s.w.conns[c], f)
	s.w.sstep(Queued{Seq: s.seq, Bytes: 1, Entries: 1})
}

func (w *world) choose(n int) int {
	if w.inOrder {
		return 0
	}
	return w.r.IntN(n)
}

func (w *world) rstep(in Input) {
	if w.rcv.m == nil {
		return
	}
	w.rcv.m.Step(in)
	w.rcv.actions()
}

func (w *world) sstep(in Input) {
	w.snd.m.Step(in)
	w.snd.actions()
}

// pass runs sessions until a pass has ended as asked at both ends.
func (w *world) pass(precopy bool) error {
	w.precopy = precopy
	for range 50 {
		w.session()
		if len(w.violations) > 0 {
			return errors.New(w.violations[0])
		}
		if w.snd.over || w.rcv.over {
			break
		}
	}
	if !w.snd.over && !w.rcv.over {
		return errors.New("fifty sessions, and no end")
	}
	if w.snd.over && w.snd.m.committed.Verified {
		w.checkVerified()
	}
	w.checkWhole("after the pass")
	w.snd = nil
	if len(w.violations) > 0 {
		return errors.New(w.violations[0])
	}
	return nil
}

func (w *world) session() {
	w.sessions++
	w.lost = ""
	w.toReceiver, w.toSender, w.conns = nil, nil, [2][]simFrame{}
	w.snd = &simSender{w: w, id: w.sessions, m: NewSender(), base: tag{}, read: tag{}}
	w.rcv = &simReceiver{
		w: w, id: w.sessions, frames: map[uint64]simFrame{}, results: map[uint64]map[string]claim{},
		owners: map[uint64]map[string]string{}, seen: map[string]bool{}, run: map[string]claim{},
	}
	if w.state.phase == rollingOn {
		w.say("R finishes what was committed")
		w.rcv.roll(func() { w.rcv.verify(); w.accept() })
	} else {
		w.accept()
	}
	w.sstep(Started{})
	for n := 0; w.lost == "" && len(w.violations) == 0 && !(w.snd.over && w.rcv.over); n++ {
		if n > 5000 {
			w.violated("the session never ends")
		}
		if !w.happen() {
			w.violated("nothing can happen any more, and the pass is not over")
		}
		if w.snd.over && w.rcv.m != nil && w.rcv.m.state != awaitBye && !w.rcv.over {
			w.violated("the sender is done before the receiver is")
		}
	}
	if w.lost != "" {
		w.say("the session is over: %s", w.lost)
		w.limbo = slices.Concat(w.limbo, w.conns[0], w.conns[1])
	}
}

// accept takes the sender's connection.
func (w *world) accept() {
	inPlace := w.state.phase == torn || w.state.phase == fresh && len(w.disk.tree(w.disk.current)) == 0
	w.rcv.inPlace, w.rcv.m = inPlace, NewReceiver(inPlace)
}

// happen lets the next event happen; false means that there is none.
func (w *world) happen() bool {
	list := w.runnable()
	if len(list) == 0 {
		return false
	}
	e := list[w.choose(len(list))]
	w.events++
	n := w.events
	if w.trapped(e.name, n, false) {
		return true
	}
	e.run()
	w.checkWhole("after " + e.name)
	w.trapped(e.name, n, true)
	return true
}

func (w *world) runnable() []task {
	var list []task
	add := func(name string, run func()) { list = append(list, task{name, run}) }
	if m := w.toReceiver; len(m) > 0 && w.rcv.m != nil {
		add("control to receiver", func() { w.toReceiver = w.toReceiver[1:]; w.rstep(Message{M: m[0]}) })
	}
	if m := w.toSender; len(m) > 0 {
		add("control to sender", func() { w.toSender = w.toSender[1:]; w.sstep(Message{M: m[0]}) })
	}
	for i := range w.conns {
		if len(w.conns[i]) > 0 && w.rcv.m != nil {
			f := w.conns[i][0]
			add(fmt.Sprint("frame ", f.seq), func() { w.conns[i] = w.conns[i][1:]; w.arrive(f) })
		}
	}
	if w.snd.scan && w.snd.next < max(w.snd.through, 0) || w.snd.scan && w.snd.next == len(names) {
		add("scan", w.snd.step)
	}
	for i, t := range w.rcv.tasks {
		add(t.name, func() { w.rcv.tasks = slices.Delete(slices.Clone(w.rcv.tasks), i, i+1); t.run() })
	}
	for i, s := range w.rcv.steps {
		if len(s) > 0 {
			add(s[0].name, func() { w.rcv.steps[i] = s[1:]; s[0].run() })
		}
	}
	if !w.inOrder && w.snd.scan && w.r.IntN(3) == 0 {
		add("tick", func() { w.sstep(Tick{}) })
	}
	if !w.inOrder && len(w.limbo) > 0 && w.rcv.m != nil && w.rcv.m.state == receiving {
		add("late frame", func() {
			f := w.limbo[0]
			w.limbo = w.limbo[1:]
			w.arrive(f)
		})
	}
	return list
}

// arrive brings a frame to the receiver, which takes only those of its own session.
func (w *world) arrive(f simFrame) {
	if f.session != w.rcv.id && !w.broken["takes frames of an old session"] {
		return
	}
	if f.session != w.rcv.id && f.seq < w.rcv.m.next {
		return
	}
	w.rcv.frames[f.seq] = f
	w.rstep(FrameArrived{Seq: f.seq})
}

func (w *world) trapped(name string, n int, after bool) bool {
	if w.trap == nil || len(w.violations) > 0 {
		return false
	}
	switch who := w.trap(w, name, n, after); who {
	case "":
		return false
	case "receiver":
		w.disk.crash(w.r)
		w.lost = "the receiver died"
		w.checkCrash()
	case "sender":
		w.lost = "the sender died"
	case "conn":
		w.lost = "a connection broke"
		w.sstep(Failed{Err: fault.New(fault.ConnectionLost, "it broke")})
		w.rstep(Failed{Err: fault.New(fault.ConnectionLost, "it broke")})
		w.lost = "a connection broke"
	}
	return true
}

// The invariants.

func (w *world) acknowledged(x *simReceiver, seq uint64) {
	for n := uint64(1); n <= seq; n++ {
		maps.Copy(w.acked, x.owners[n])
		delete(x.owners, n)
	}
}

// checkCrash: what was acknowledged is on the disk, and a verified generation whole.
func (w *world) checkCrash() {
	for name, value := range w.acked {
		if got := w.disk.current[name].data; got != value {
			w.violated("acknowledged and lost: %s is %q, not %q", name, got, value)
		}
	}
	w.checkWhole("after a crash")
}

// believe: what a stamp proves, and so goes into the base, is what is there.
func (w *world) believe(path, recorded, actual string) {
	if recorded != actual {
		w.violated("the base says %s=%q, on disk is %q", path, recorded, actual)
	}
}

// checkWhole: before the commit record the verified generation is readable, every byte.
func (w *world) checkWhole(when string) {
	if w.state.phase != whole {
		return
	}
	if got := w.disk.tree(w.disk.current); !maps.Equal(got, w.state.verified) {
		w.violated("%s the verified generation is not whole: %v instead of %v", when, got, w.state.verified)
	}
}

// committed: what both ends agreed on is the tree that was read, and durable.
func (w *world) committed(_ *simReceiver, c wire.Committed) {
	if c.Verified && !maps.Equal(w.disk.tree(w.disk.durable), w.disk.tree(w.disk.current)) {
		w.violated("verified, but a power failure would leave %v", w.disk.tree(w.disk.durable))
	}
}

// checkVerified: an equal verdict means equal trees.
func (w *world) checkVerified() {
	if got := w.disk.tree(w.disk.current); !maps.Equal(got, w.snd.read) {
		w.violated("verified %v, but the source was %v", got, w.snd.read)
	}
}

// note tells what a machine asks for, for stories.
func (w *world) note(who string, a Action) {
	switch a := a.(type) {
	case Send:
		switch m := a.M.(type) {
		case wire.Base, wire.BaseRows:
		case wire.Ack:
			w.say("%s says Ack %d", who, m.Seq)
		case wire.Mark:
			w.say("%s says Mark %d", who, m.Seq)
		case wire.Done:
			w.say("%s says Done, last %d, verify %v", who, m.Last, m.Verify)
		case wire.Committed:
			w.say("%s says Committed, verified %v", who, m.Verified)
		default:
			w.say("%s says %s", who, strings.TrimPrefix(fmt.Sprintf("%T", m), "wire."))
		}
	case Apply:
		w.say("%s applies %d", who, a.Seq)
	case Sync:
		w.say("%s syncs through %d", who, a.Through)
	case Persist:
		w.say("%s persists through %d", who, a.Through)
	case Judge, WriteCommit, RollForward, WriteVerification:
		w.say("%s does %s", who, strings.TrimPrefix(fmt.Sprintf("%T", a), "session."))
	case End:
		if a.Err != nil {
			w.say("%s ends: %v", who, a.Err)
		} else {
			w.say("%s ends", who)
		}
	}
}
