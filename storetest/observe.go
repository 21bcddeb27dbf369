package storetest

import (
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

var observeCases = []Case{
	{"observe/look", "Look brings what Get does, in each state, but for arguments, extras, result and history.", observeLook},
	{"observe/look order", "Look answers in the order of the ids and leaves out jobs that do not exist.", observeLookOrder},
	{"observe/place", "Place counts the ready jobs that will be claimed before a job: by priority, band and arrival, of its queue only.", observePlace},
	{"observe/place limit", "Place stops counting at its limit and says so.", observePlaceLimit},
	{"observe/place not ready", "A job that is not ready has no place.", observeNoPlace},
	{"observe/line", "Line counts a queue's ready jobs up to a limit, and says how long the oldest of them has been ready.", observeLine},
}

// look returns what Look brings of the jobs.
func (r *rig) look(ids ...offstage.ID) []offstage.JobInfo {
	r.Helper()
	infos, err := r.store.Look(r.Context(), ids)
	r.must(err, "look")
	return infos
}

// place returns a job's place, counted up to limit.
func (r *rig) place(id offstage.ID, limit int) offstage.Place {
	r.Helper()
	place, err := r.store.Place(r.Context(), id, limit)
	r.must(err, "place")
	return place
}

// line returns a queue's line, counted up to limit.
func (r *rig) line(queue string, limit int) offstage.Line {
	r.Helper()
	line, err := r.store.Line(r.Context(), queue, limit)
	r.must(err, "line")
	return line
}

func observeLook(r *rig) {
	given := echo()
	given.Tags, given.Metadata = []string{"t"}, map[string]string{"a": "b"}
	ids := r.insert(given, given, given, given, given, given, echoAfter(time.Hour))
	w := r.worker()
	jobs := w.take(6)
	w.counted(jobs[0].completedWith(`{"n":1}`), jobs[1].errored(time.Hour), jobs[2].failed(), jobs[3].interrupted(),
		jobs[4].blocked(offstage.WaitsKindUnknown))
	r.report(offstage.JobProgress{Job: ids[5], Run: 1, Done: 1, Total: 3, Message: "one"})
	got := r.look(ids...)
	if len(got) != len(ids) {
		r.Fatalf("%d jobs for %d ids", len(got), len(ids))
	}
	for i, id := range ids {
		want := r.get(id).JobInfo
		want.Args, want.Extra, want.Result = nil, offstage.Extra{}, nil
		same(r, "job "+want.State.String(), got[i], want)
	}
}

func observeLookOrder(r *rig) {
	ids := r.insert(echoes(3)...)
	gone := ids[1]
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: gone})
	var got []offstage.ID
	for _, info := range r.look(ids[2], gone, ids[0], 1<<52) {
		got = append(got, info.ID)
	}
	same(r, "jobs", got, []offstage.ID{ids[2], ids[0]})
	same(r, "of none", len(r.look()), 0)
}

func observePlace(r *rig) {
	usual := r.insert(echoes(3)...)
	late := r.insertOne(echoIn(offstage.DefaultQueue, 9))
	urgent := r.insertOne(echoIn(offstage.DefaultQueue, 0))
	r.insert(echoIn("other", 0), echoIn("other", 0))
	r.apply(offstage.Change{Verb: offstage.VerbRunNow, Job: usual[2]})
	want := []offstage.ID{urgent, usual[2], usual[0], usual[1], late}
	for _, id := range slices.Concat(usual, []offstage.ID{late, urgent}) {
		same(r, "place of "+id.String(), r.place(id, 10), offstage.Place{Ready: true, Ahead: slices.Index(want, id)})
	}
	same(r, "claimed in the order", idsOf(r.worker().take(5)), want)
}

func observePlaceLimit(r *rig) {
	ids := r.insert(echoes(6)...)
	same(r, "at the limit", r.place(ids[3], 3), offstage.Place{Ready: true, Ahead: 3})
	same(r, "over the limit", r.place(ids[4], 3), offstage.Place{Ready: true, Ahead: 3, More: true})
	same(r, "with no limit to speak of", r.place(ids[5], 1000), offstage.Place{Ready: true, Ahead: 5})
}

func observeNoPlace(r *rig) {
	ids := r.insert(echo(), echo(), echoAfter(time.Hour))
	w := r.worker()
	w.counted(w.takeOne().completed())
	w.takeOne()
	for _, id := range append(ids, 1<<52) {
		same(r, "place", r.place(id, 10), offstage.Place{})
	}
}

func observeLine(r *rig) {
	same(r, "of a queue that nobody knows", r.line("nowhere", 10), offstage.Line{})
	r.insert(echoIn("a", 5))
	r.pass(time.Minute)
	r.insert(echoIn("a", 1), echoIn("a", 9), echoIn("b", 5))
	later := echoIn("a", 0)
	later.Delay = time.Hour
	r.insertOne(later)
	line := r.line("a", 3)
	if line.Oldest.Round(time.Second) != time.Minute {
		r.Errorf("the oldest has waited for %s, not for a minute", line.Oldest)
	}
	line.Oldest = 0
	same(r, "line", line, offstage.Line{Ready: 3})
	line = r.line("a", 2)
	line.Oldest = 0
	same(r, "line over the limit", line, offstage.Line{Ready: 2, More: true})
	r.worker().takeFrom(3, "a")
	same(r, "line of a queue that is empty", r.line("a", 3), offstage.Line{})
}
