package checker

import (
	"math"
	"slices"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// tenure is a time in which a job was certainly there and had not ended.
type tenure struct {
	s        *story
	from, to int64
}

// checkUnique looks for two jobs of one unique key that were alive at the same
// time beyond doubt: a job lives from its acknowledgement, or its first start if
// that came sooner, until its last handler's end at least.
func (e *evidence) checkUnique() {
	groups := map[string][]tenure{}
	for _, s := range e.stories {
		if s.listed == nil || s.listed.Unique == "" {
			continue
		}
		t := tenure{s, math.MaxInt64, 0}
		if s.acked > 0 {
			t.from = s.acked
		}
		for _, r := range s.runs {
			if s.over(r.start.Mono) {
				continue
			}
			t.from, t.to = min(t.from, r.start.Mono), max(t.to, r.start.Mono)
			if r.number == s.listed.Run && r.end != nil && !s.over(r.end.Mono) && s.outcome(r.number) != offstage.OutcomeLost {
				t.to = max(t.to, r.end.Mono)
			}
		}
		groups[s.listed.Unique] = append(groups[s.listed.Unique], t)
	}
	for key, group := range groups {
		slices.SortFunc(group, func(a, b tenure) int { return int(a.s.id - b.s.id) })
		e.checkTenures(key, group)
	}
}

// over reports whether a worker had recorded the job's end by then, so that
// what a paused worker still did to it says nothing.
func (s *story) over(at int64) bool {
	return slices.ContainsFunc(s.ends, func(mark history.Event) bool { return mark.Mono < at })
}

// outcome returns what the store has recorded of a run, 0 if that is not listed.
func (s *story) outcome(run int) offstage.Outcome {
	for _, a := range s.listed.Attempts {
		if a.Run == run {
			return a.Outcome
		}
	}
	return 0
}

func (e *evidence) checkTenures(key string, group []tenure) {
	for i, a := range group {
		for _, b := range group[i+1:] {
			switch {
			case e.kind(a.s).Once:
				e.breach(b.s, uniqueViolation, "it and job %d share the key %q, which allows one for ever", a.s.id, key)
			case a.from < b.to && b.from < a.to:
				e.breach(b.s, uniqueViolation, "it and job %d, both of key %q, were alive at the same time", a.s.id, key)
			case a.covers(b), b.covers(a):
				e.breach(b.s, uniqueViolation, "of it and job %d, both of key %q, one was enqueued while the other was alive", a.s.id, key)
			}
		}
	}
}

// covers reports whether the job was alive all the time that the enqueue of the
// other one took.
func (a tenure) covers(b tenure) bool {
	q := b.s.enqueue
	return q != nil && b.s.acked > 0 && a.from < q.send.Mono && b.s.acked < a.to
}
