package checker

import (
	"maps"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// checkSteps looks at what a job did of its steps: none again whose result was
// stored, and no loop from before where it was saved. A run that is over, and does
// not know it yet, may repeat what a later one has done.
func (e *evidence) checkSteps(s *story) {
	type mark struct{ run, count int }
	kept := map[string][]mark{}
	resumed := map[int]bool{} // runs that began where others had come to
	for _, m := range s.memory {
		switch m.What {
		case history.Kept:
			e.report.Steps++
			kept[m.Note] = append(kept[m.Note], mark{m.Run, m.Count})
		case history.Do:
			for _, k := range kept[m.Note] {
				if k.run <= m.Run {
					e.breach(s, stepTwice, "run %d did the step %q, whose result run %d had stored", m.Run, m.Note, k.run)
					break
				}
			}
		case history.Found:
			if m.Count > 0 {
				resumed[m.Run] = true
			}
			for _, k := range kept[m.Note] {
				if k.run < m.Run && k.count > m.Count {
					e.breach(s, stepTwice, "run %d found the cursor %q at %d, which run %d had saved at %d", m.Run, m.Note, m.Count, k.run, k.count)
					break
				}
			}
		}
	}
	e.report.Resumed += len(resumed)
}

// checkWaits looks at a job that slept and waited: it woke no sooner than it
// asked, and the signal that was acknowledged is the one that it got.
func (e *evidence) checkWaits(s *story) {
	var lain *history.Event
	var got []history.Event
	for i, m := range s.memory {
		switch {
		case m.What == history.Nap && lain == nil:
			lain = &s.memory[i]
		case m.What == history.Woke && lain != nil && m.Mono+grain < lain.Mono+lain.Wait:
			e.breach(s, early, "run %d woke %s after it lay down for %s", m.Run, ms(m.Mono-lain.Mono), ms(lain.Wait))
		case m.What == history.Got:
			got = append(got, m)
		}
	}
	if s.listed == nil {
		return
	}
	signals := e.signals[s.listed.Key]
	acked := slices.IndexFunc(signals, func(e history.Event) bool { return e.What == history.SignalAck })
	if acked < 0 || s.listed.State != offstage.Completed {
		return
	}
	// The first that was acknowledged, or one that was sent before that, counts.
	counts := func(payload string) bool {
		return slices.ContainsFunc(signals[:acked+1], func(e history.Event) bool { return e.Note == payload })
	}
	for _, m := range got {
		if !counts(m.Note) {
			e.breach(s, signalLost, "run %d got the signal %q; acknowledged before was %q", m.Run, m.Note, signals[acked].Note)
		}
	}
	if len(got) == 0 {
		e.breach(s, signalLost, "it is completed and got no signal")
	}
	e.report.Signals++
}

// checkTicks expects one job of each second between the first and the last tick
// of a schedule, and a tick after the last fault.
func (e *evidence) checkTicks() {
	ticks := map[string][]*history.Job{}
	for i := range e.listing.Jobs {
		if job := &e.listing.Jobs[i]; job.Schedule != "" {
			ticks[job.Schedule] = append(ticks[job.Schedule], job)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ticks)) {
		jobs := ticks[name]
		slices.SortFunc(jobs, func(a, b *history.Job) int { return a.Tick.Compare(b.Tick) })
		for i, job := range jobs {
			if i == 0 {
				continue
			}
			switch gap := job.Tick.Sub(jobs[i-1].Tick); {
			case gap == 0:
				e.breach(e.story(job.ID), tickTwice, "the tick %s of %s has job %d as well", job.Tick, name, jobs[i-1].ID)
			case gap != time.Second:
				e.breach(e.story(job.ID), tickLost, "before the tick %s of %s there is none for %s", job.Tick, name, gap)
			}
		}
		last := jobs[len(jobs)-1]
		if e.healed > 0 && last.Tick.Before(time.Unix(0, e.healed)) {
			e.breach(e.story(last.ID), tickLost, "the tick %s of %s is the last, before the end of the faults", last.Tick, name)
		}
		e.report.Ticks += len(jobs)
	}
}
