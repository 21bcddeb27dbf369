package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

var operateCases = []Case{
	{"operate/verbs and states", "Apply answers the state afterwards, or a StateError where the state does not allow the verb, which then changes nothing.", operateTable},
	{"operate/no such job", "Apply to a job that does not exist is ErrNotFound.", operateNotFound},
	{"operate/delete", "A deleted job is gone, with its history; its key is free.", operateDelete},
	{"operate/delete frees the key", "Deleting an ended job frees its unique key, though the period is not over.", operateDeleteFrees},
	{"operate/run now", "Run now makes a job ready and puts it in front of those of its priority.", operateRunNow},
	{"operate/reschedule", "Reschedule makes a waiting job due at a time, or after a delay from the store's now.", operateReschedule},
	{"operate/prioritize", "Reprioritize moves a waiting job among the others; one that waits for its time takes the priority along.", operatePrioritize},
	{"operate/prioritize comes last", "A job whose priority is changed goes behind those that have the new priority already.", operatePrioritizeLast},
}

// verdicts of the table: what a verb makes of a state. 0: it is not allowed.
var verbTable = map[offstage.Verb]map[offstage.State]offstage.State{
	offstage.VerbCancel: {
		offstage.Scheduled: offstage.Cancelled, offstage.Ready: offstage.Cancelled, offstage.Running: offstage.Running,
		offstage.Retrying: offstage.Cancelled, offstage.Blocked: offstage.Cancelled, offstage.Cancelled: offstage.Cancelled,
	},
	offstage.VerbRetry: {
		offstage.Retrying: offstage.Ready, offstage.Completed: offstage.Ready, offstage.Failed: offstage.Ready, offstage.Cancelled: offstage.Ready,
	},
	offstage.VerbRunNow: {
		offstage.Scheduled: offstage.Ready, offstage.Ready: offstage.Ready, offstage.Retrying: offstage.Ready,
	},
	offstage.VerbReschedule: {
		offstage.Scheduled: offstage.Scheduled, offstage.Ready: offstage.Scheduled, offstage.Retrying: offstage.Retrying,
	},
	offstage.VerbPrioritize: {
		offstage.Scheduled: offstage.Scheduled, offstage.Ready: offstage.Ready, offstage.Retrying: offstage.Retrying, offstage.Blocked: offstage.Blocked,
	},
	offstage.VerbDelete: { // answers no state in particular
		offstage.Scheduled: offstage.Scheduled, offstage.Ready: offstage.Ready, offstage.Retrying: offstage.Retrying, offstage.Blocked: offstage.Blocked,
		offstage.Completed: offstage.Completed, offstage.Failed: offstage.Failed, offstage.Cancelled: offstage.Cancelled,
	},
}

func operateTable(r *rig) {
	for verb, becomes := range verbTable {
		for _, state := range offstage.States() {
			id, _, _ := r.bring(echoIn(strings.ReplaceAll(string(verb), " ", "-")+"-"+state.String(), 5), state)
			before := r.get(id)
			got, err := r.store.Apply(r.Context(), offstage.Change{Verb: verb, Job: id, Delay: time.Hour, Priority: 1})
			want, what := becomes[state], string(verb)+" a "+state.String()+" job"
			var refused *offstage.StateError
			switch {
			case want == 0:
				if !errors.As(err, &refused) {
					r.Errorf("%s: got %v, %v, want a StateError", what, got, err)
					continue
				}
				same(r, what+": error", [3]any{refused.ID, refused.State, refused.Verb}, [3]any{id, state, verb})
				same(r, what+": job", r.get(id), before)
			case err != nil:
				r.Errorf("%s: %v", what, err)
			case verb == offstage.VerbDelete:
				if _, err := r.store.Get(r.Context(), id); !errors.Is(err, offstage.ErrNotFound) {
					r.Errorf("%s: got %v, want ErrNotFound afterwards", what, err)
				}
			default:
				same(r, what+": answer", got, want)
				r.wantState(want, id)
			}
		}
	}
}

func operateNotFound(r *rig) {
	for verb := range verbTable {
		_, err := r.store.Apply(r.Context(), offstage.Change{Verb: verb, Job: 1 << 40})
		if !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("%s: got %v, want ErrNotFound", verb, err)
		}
	}
}

func operateDelete(r *rig) {
	for _, state := range slices.Concat(waitingStates, endedStates) {
		job := uniqueEcho(offstage.Skip, state.String())
		id, w, _ := r.bring(job, state)
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: id})
		_, err := r.store.LoadArgs(r.Context(), id)
		if !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("%s: load args: got %v, want ErrNotFound", state, err)
		}
		ended, err := r.store.EndedOf(r.Context(), []offstage.ID{id})
		r.must(err, "ended of")
		same(r, "ended of", ended, []offstage.Ended{{ID: id}})
		r.pass(2 * time.Hour)
		r.chore(offstage.Promote)
		for _, job := range w.claim(pool(5, offstage.DefaultQueue)) {
			same(r, "a claimed job is missing", job.Missing, true)
		}
		again := r.insertOne(job) // not the one that existed
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: again})
	}
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs listed", len(page.Jobs), 0)
}

func operateDeleteFrees(r *rig) {
	job := uniqueEcho(offstage.Skip, "key")
	job.Unique.Period = time.Hour
	id, _, _ := r.bring(job, offstage.Completed)
	same(r, "holder in its period", r.enqueue(job), offstage.Inserted{ID: id, Existed: true})
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: id})
	r.insertOne(job)
}

func operateRunNow(r *rig) {
	ids := r.insert(echo(), echoAfter(time.Hour), echo(), echoIn(offstage.DefaultQueue, 4))
	r.apply(offstage.Change{Verb: offstage.VerbRunNow, Job: ids[1]})
	r.apply(offstage.Change{Verb: offstage.VerbRunNow, Job: ids[2]})
	w := r.worker()
	same(r, "order", idsOf(w.take(4)), []offstage.ID{ids[3], ids[1], ids[2], ids[0]})
	r.pass(2 * time.Hour)
	same(r, "promoted", r.chore(offstage.Promote), 0)
}

func operateReschedule(r *rig) {
	ids := r.insert(echo(), echoAfter(time.Hour), echoAfter(time.Hour))
	now := r.get(ids[0]).CreatedAt
	r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: ids[0], RunAt: now.Add(3 * time.Hour)})
	r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: ids[1], Delay: 2 * time.Hour})
	same(r, "answer for a time that has passed",
		r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: ids[2], RunAt: now.Add(-time.Hour)}), offstage.Ready)
	sameTime(r, "run at", r.get(ids[0]).RunAt, now.Add(3*time.Hour))
	w := r.worker()
	same(r, "claimed at once", idsOf(w.claim(pool(5, offstage.DefaultQueue))), ids[2:])
	r.pass(61 * time.Minute)
	same(r, "promoted after an hour", r.chore(offstage.Promote), 0)
	r.pass(time.Hour)
	same(r, "promoted after two", r.chore(offstage.Promote), 1)
	same(r, "claimed after two", idsOf(w.claim(pool(5, offstage.DefaultQueue))), ids[1:2])
	r.pass(time.Hour)
	same(r, "promoted after three", r.chore(offstage.Promote), 1)
	same(r, "claimed after three", idsOf(w.claim(pool(5, offstage.DefaultQueue))), ids[:1])
}

func operatePrioritize(r *rig) {
	ids := r.insert(echo(), echo(), echoAfter(time.Hour))
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[1], Priority: 1})
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[2], Priority: 0})
	same(r, "priority", r.get(ids[1]).Priority, 1)
	r.pass(time.Hour)
	r.chore(offstage.Promote)
	jobs := r.worker().take(3)
	same(r, "order", idsOf(jobs), []offstage.ID{ids[2], ids[1], ids[0]})
	same(r, "claimed priority", jobs[0].Priority, 0)
}

func operatePrioritizeLast(r *rig) {
	first, second := echo(), echo()
	second.Priority = 1
	ids := r.insert(first, second)
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[0], Priority: 1})
	same(r, "order", idsOf(r.worker().take(2)), []offstage.ID{ids[1], ids[0]})
}

// refused makes a change that must be answered by a StateError.
func (r *rig) refused(change offstage.Change) *offstage.StateError {
	r.Helper()
	state, err := r.store.Apply(r.Context(), change)
	var refused *offstage.StateError
	if !errors.As(err, &refused) {
		r.Fatalf("%s: got %v, %v, want a StateError", change.Verb, state, err)
	}
	return refused
}
