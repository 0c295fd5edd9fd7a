// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// phases of the receiver's durable state, as in package manifest.
const (
	fresh = iota
	torn
	whole
	rollingOn
)

// claim is what the state says of one path.
type claim struct {
	value  string
	gone   bool
	stamp  int
	staged int // number of the staged inode; 0: it speaks of the volume itself
	found  bool
}

// state is on a disk of its own, and only ever changed as a whole.
type state struct {
	phase    int
	base     map[string]claim
	journal  []map[string]claim
	expected tree.Digest
	stage    bool
	staged   int // highest number of a staged inode
	// verified is the simulator's own knowledge, for the checks.
	verified tag
}

// effective overlays the journal on the base.
func (s *state) effective(standing bool) map[string]claim {
	out := maps.Clone(s.base)
	if out == nil {
		out = map[string]claim{}
	}
	for _, run := range s.journal {
		for p, c := range run {
			if standing && !c.found && s.phase != torn {
				continue
			}
			out[p] = c
		}
	}
	return out
}

// task is something that an action of a machine began.
type task struct {
	name string
	run  func()
}

// simReceiver drives a Receiver as package ship does, over the simulated disk.
type simReceiver struct {
	w       *world
	id      int
	m       *Receiver
	inPlace bool
	tasks   []task   // any of them may run next
	steps   [][]task // of each only the first may

	frames  map[uint64]simFrame
	results map[uint64]map[string]claim
	owners  map[uint64]map[string]string // disk name to value, for the check of Ack
	prefix  uint64
	through uint64
	held    []uint64
	seen    map[string]bool
	run     map[string]claim // of this session, not yet durable
	began   bool
	over    bool // durably verified, or ended as asked
	digest  tree.Digest
}

func (x *simReceiver) actions() {
	for _, a := range x.m.Ready() {
		x.w.note("R", a)
		if !x.actBroken(a) {
			x.act(a)
		}
	}
}

// actBroken does what a receiver with a defect would do instead; false: nothing special.
func (x *simReceiver) actBroken(a Action) bool {
	b := x.w.broken
	switch a := a.(type) {
	case Sync:
		if b["swaps sync and persist"] {
			x.through = a.Through
			x.add("persist first", func() {
				x.save()
				x.add("sync late", func() {
					x.w.disk.sync()
					x.m.Step(Synced(a)) // which asks for Persist: done before
					x.m.Ready()
					x.w.rstep(Persisted(a))
				})
			})
			return true
		}
		if b["acknowledges what is only applied"] {
			x.w.acknowledged(x, a.Through)
		}
	case WriteCommit:
		if b["commits after rolling forward"] && !x.idle() {
			x.roll(func() {
				x.w.state.phase, x.w.state.expected = rollingOn, a.Digest
				x.m.Step(CommitWritten{})
				x.m.Ready()
				x.w.rstep(RolledForward{Digest: x.w.disk.tree(x.w.disk.current).digest()})
			})
			return true
		}
	}
	return false
}

func (x *simReceiver) add(name string, run func()) {
	x.tasks = append(x.tasks, task{name, run})
}

func (x *simReceiver) act(a Action) {
	switch a := a.(type) {
	case Send:
		if ack, ok := a.M.(wire.Ack); ok {
			x.w.acknowledged(x, ack.Seq)
		}
		if c, ok := a.M.(wire.Committed); ok {
			x.over = true
			x.w.committed(x, c)
		}
		x.w.toSender = append(x.w.toSender, a.M)
	case End:
		if a.Err == nil {
			x.over = true
			return
		}
		x.w.lost = fmt.Sprint("receiver: ", a.Err)
	case Survey:
		x.welcome()
	case Apply:
		x.begin()
		x.add(fmt.Sprint("apply ", a.Seq), func() { x.apply(a.Seq) })
	case Sync:
		x.through = a.Through
		x.add(fmt.Sprint("sync ", a.Through), func() {
			x.w.disk.sync()
			x.w.rstep(Synced(a))
		})
	case Persist:
		x.add(fmt.Sprint("persist ", a.Through), func() { x.persist(a.Through) })
	case Judge:
		x.add("judge", x.judge)
	case WriteCommit:
		x.add("commit", func() {
			if !x.idle() {
				x.w.state.phase, x.w.state.expected = rollingOn, a.Digest
			}
			x.w.rstep(CommitWritten{})
		})
	case RollForward:
		x.roll(func() { x.w.rstep(RolledForward{Digest: x.w.disk.tree(x.w.disk.current).digest()}) })
	case WriteVerification:
		x.add("verify", func() {
			x.verify()
			x.w.rstep(VerificationWritten{Strength: 2})
		})
	}
}

func (x *simReceiver) idle() bool {
	return !x.began && x.w.state.phase == whole && len(x.w.state.journal) == 0
}

// welcome answers, and looks at the volume path by path, telling what is there.
func (x *simReceiver) welcome() {
	x.w.toSender = append(x.w.toSender, wire.Welcome{InPlace: x.inPlace})
	recorded, all := x.w.state.effective(true), x.w.state.effective(false)
	var steps []task
	for _, p := range names {
		steps = append(steps, task{"survey " + p, func() { x.survey(p, recorded[p], all[p], all) }})
	}
	steps = append(steps, task{"surveyed", func() { x.w.rstep(Surveyed{}) }})
	x.steps = append(x.steps, steps)
}

// survey announces one path: what is staged there and still fits, or what is found.
func (x *simReceiver) survey(p string, rec, top claim, all map[string]claim) {
	r := wire.BaseRecord{Gone: true, Entry: tree.Entry{Path: p}}
	if n, there := x.w.disk.current[inTarget+p]; there && !x.seen[p] {
		r.Gone, r.Entry.Link = false, n.data
		if rec.stamp == n.stamp && !rec.gone && rec.staged == 0 {
			x.w.believe(p, rec.value, n.data)
			r.Entry.Link = rec.value
		}
	}
	if _, ok := all[p]; ok && !x.inPlace && !x.seen[p] && !top.found && (top.staged != 0 || top.gone) {
		x.staged(p, top, &r)
	}
	x.w.toSender = append(x.w.toSender, wire.Base{Through: p, Last: p == names[len(names)-1], Records: []wire.BaseRecord{r}})
}

// staged checks what is staged at a path.
func (x *simReceiver) staged(p string, top claim, r *wire.BaseRecord) {
	n, there := x.w.disk.current[stagedName(top.staged)]
	switch {
	case top.gone:
		r.Gone = true
	case top.stamp == 0: // a description without content
		r.Gone, r.Entry.Link = false, top.value
	case there && n.stamp == top.stamp:
		x.w.believe(p, top.value, n.data)
		r.Gone, r.Entry.Link = false, top.value
	default:
		// What is found counts again, also against what the journal says.
		under := x.w.disk.current[inTarget+p]
		x.run[p] = claim{value: under.data, stamp: under.stamp, gone: under.stamp == 0, found: true}
	}
}

func stagedName(n int) string { return fmt.Sprint(inStage, n) }

// begin makes it durable that the volume is written, before it is.
func (x *simReceiver) begin() {
	if x.began {
		return
	}
	x.began = true
	s := x.w.state
	s.journal = append(slices.Clone(s.journal), map[string]claim{})
	if x.inPlace {
		s.phase = torn
	} else {
		s.stage = true
		s.staged += 1000
	}
}

func (x *simReceiver) apply(seq uint64) {
	f := x.frames[seq]
	if f.session != x.id {
		x.w.violated("an old epoch's frame was applied")
	}
	out, owned := map[string]claim{}, map[string]string{}
	for _, op := range f.ops {
		x.seen[op.path] = true
		c := claim{value: op.value, gone: op.gone}
		switch {
		case op.path == rootName: // described at the end
		case x.inPlace && op.gone:
			x.w.disk.write(inTarget+rootName, spoilt)
			x.w.disk.remove(inTarget + op.path)
		case x.inPlace:
			x.w.disk.write(inTarget+rootName, spoilt)
			x.w.disk.write(inTarget+op.path, op.value)
			c.stamp = x.w.disk.current[inTarget+op.path].stamp
			owned[inTarget+op.path] = op.value
		case !op.gone:
			x.w.state.staged++
			c.staged = x.w.state.staged
			x.w.disk.write(stagedName(c.staged), op.value)
			c.stamp = x.w.disk.current[stagedName(c.staged)].stamp
			owned[stagedName(c.staged)] = op.value
		}
		out[op.path] = c
	}
	x.results[seq], x.owners[seq] = out, owned
	for x.results[x.prefix+1] != nil {
		x.prefix++
		x.held = append(x.held, x.prefix)
	}
	x.release()
	x.w.rstep(Applied{Seq: seq})
}

// release hands results to the journal, but not beyond what a sync under way covers.
func (x *simReceiver) release() {
	for len(x.held) > 0 && (x.through == 0 || x.held[0] <= x.through || x.w.broken["journals what no sync covers"]) {
		maps.Copy(x.run, x.results[x.held[0]])
		x.held = x.held[1:]
	}
}

func (x *simReceiver) persist(through uint64) {
	x.save()
	x.w.rstep(Persisted{Through: through})
}

func (x *simReceiver) save() {
	s := x.w.state
	s.journal = slices.Clone(s.journal)
	s.journal[len(s.journal)-1] = maps.Clone(x.run)
	x.through = 0
	x.release()
}

// judge finds the digest of what the volume holds or will hold.
func (x *simReceiver) judge() {
	s := x.w.state
	switch {
	case x.w.broken["judges without looking"] && x.m.last != nil:
		x.digest = x.m.last.Digest
	case x.idle():
		x.digest = x.w.disk.tree(x.w.disk.current).digest()
	case x.inPlace:
		x.arrange()
		x.digest = x.w.disk.tree(x.w.disk.current).digest()
	default:
		if len(x.run) > 0 {
			x.begin()
			s.journal[len(s.journal)-1] = maps.Clone(x.run)
		}
		t := tag{}
		for p, c := range s.effective(false) {
			if !c.gone {
				t[p] = c.value
			}
		}
		x.digest = t.digest()
	}
	x.w.rstep(Judged{Digest: x.digest})
}

// arrange describes the root after everything in it, durably.
func (x *simReceiver) arrange() {
	if c, ok := x.w.state.effective(false)[rootName]; ok {
		x.w.disk.write(inTarget+rootName, c.value)
	}
	if !x.w.broken["does not sync what it arranged"] {
		x.w.disk.sync()
	}
}

// roll carries the committed increment out, step by step.
func (x *simReceiver) roll(then func()) {
	if x.idle() {
		x.add("roll nothing", then)
		return
	}
	s := x.w.state
	eff := s.effective(false)
	var steps []task
	for _, p := range slices.Sorted(maps.Keys(eff)) {
		c := eff[p]
		if p == rootName || c.staged == 0 && !c.gone {
			continue
		}
		steps = append(steps, task{"roll " + p, func() {
			x.w.disk.write(inTarget+rootName, spoilt)
			if c.gone {
				x.w.disk.remove(inTarget + p)
			} else {
				x.w.disk.rename(stagedName(c.staged), inTarget+p)
			}
		}})
	}
	steps = append(steps,
		task{"roll sync", func() { x.w.disk.sync() }},
		task{"roll unstage", x.unstage},
		task{"roll arrange", x.arrange},
		task{"rolled", then})
	x.steps = append(x.steps, steps)
}

func (x *simReceiver) unstage() {
	for name := range x.w.disk.current {
		if len(name) > len(inStage) && name[:len(inStage)] == inStage {
			x.w.disk.remove(name)
		}
	}
}

// verify makes it durable that the volume holds the generation.
func (x *simReceiver) verify() {
	s := x.w.state
	base := map[string]claim{}
	for p, v := range x.w.disk.tree(x.w.disk.current) {
		base[p] = claim{value: v, stamp: x.w.disk.current[inTarget+p].stamp}
	}
	*s = state{phase: whole, base: base, staged: s.staged, verified: x.w.disk.tree(x.w.disk.current)}
}
