package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var scheduleCases = []Case{
	{"schedule/make and find", "A new schedule gets an id that was never given before, and is found as it was given, on every handle.", scheduleFind},
	{"schedule/pages", "FindSchedules returns schedules in the order of their names, after a name, up to limit.", schedulePages},
	{"schedule/version", "A change counts only if the schedule still has the version that was read; else nothing of it is done.", scheduleVersion},
	{"schedule/same name", "A new schedule of a name that there is does not count.", scheduleSameName},
	{"schedule/race", "Of many changes of one version that come at once, one counts, and only its ticks enqueue.", scheduleRace},
	{"schedule/each alone", "Changes of one call count each by itself, whatever becomes of the others.", scheduleEach},
	{"schedule/due", "With Due, those whose LookAt has come are found, longest due first, and when the next one's comes is said.", scheduleDue},
	{"schedule/remove", "A removed schedule goes with its ticks; its jobs stay, and its name is free.", scheduleRemove},
	{"schedule/tick", "A tick inserts its job, which knows it, and is recorded with the job's id.", scheduleTick},
	{"schedule/tick once", "A change with a tick that is recorded already does not count, though the version is right.", scheduleTickOnce},
	{"schedule/tick passed over", "A tick without a job is recorded as missed.", schedulePassedOver},
	{"schedule/tick overlap", "A tick whose job meets another with its unique key is recorded as overlap, with the job that it met.", scheduleOverlap},
	{"schedule/history", "Ticks come latest first, before a time, up to limit; the last KeepTicks of a schedule are kept.", scheduleHistory},
	{"schedule/news", "A change without ticks, also a removal, is told to watchers as NewsAny: the leader is to look sooner than it knows.", scheduleNews},
	{"schedule/many", "A thousand schedules enqueue in two calls, each job with its own facts.", scheduleMany},
}

// plan is a plain schedule of yesterday that is not stored yet.
func (r *rig) plan(name string) offstage.ScheduleInfo {
	r.Helper()
	at := r.findSchedules(offstage.ScheduleQuery{Limit: 1}).Now.Truncate(time.Minute).Add(-24 * time.Hour).UTC()
	return offstage.ScheduleInfo{
		Schedule: offstage.Schedule{
			Name: name, Expression: "0 9 * * *", Zone: "UTC",
			Job: offstage.TickJob{Kind: "echo", Queue: offstage.DefaultQueue, Priority: offstage.DefaultPriority, Args: []byte(`{}`)},
		},
		Source: offstage.SourceHand, CreatedAt: at, UpdatedAt: at, Since: at,
	}
}

// change carries out one change and reports whether it counted.
func (r *rig) change(change offstage.ScheduleChange) offstage.ScheduleChanged {
	r.Helper()
	changed, err := r.store.ChangeSchedules(r.Context(), []offstage.ScheduleChange{change})
	r.must(err, "change a schedule")
	if len(changed) != 1 {
		r.Fatalf("%d answers for one change", len(changed))
	}
	if want := len(change.Ticks); changed[0].Counted && !change.Remove && len(changed[0].Jobs) != want {
		r.Fatalf("%d jobs for %d ticks", len(changed[0].Jobs), want)
	}
	return changed[0]
}

// save stores a schedule, new or changed, and returns it as it is then.
func (r *rig) save(s offstage.ScheduleInfo, ticks ...offstage.NewTick) offstage.ScheduleInfo {
	r.Helper()
	if changed := r.change(offstage.ScheduleChange{Schedule: s, Ticks: ticks}); !changed.Counted {
		r.Fatalf("the change of schedule %q did not count", s.Name)
	}
	return r.schedule(s.Name)
}

// schedule returns a schedule that must exist.
func (r *rig) schedule(name string) offstage.ScheduleInfo {
	r.Helper()
	found := r.findSchedules(offstage.ScheduleQuery{Name: name, Limit: 10}).Schedules
	if len(found) != 1 {
		r.Fatalf("%d schedules of the name %q", len(found), name)
	}
	return found[0]
}

func (r *rig) findSchedules(query offstage.ScheduleQuery) offstage.SchedulePage {
	r.Helper()
	page, err := r.store.FindSchedules(r.Context(), query)
	r.must(err, "find schedules")
	return page
}

// ticks returns the history of a schedule.
func (r *rig) ticks(s offstage.ScheduleInfo) []offstage.TickInfo {
	r.Helper()
	ticks, err := r.store.Ticks(r.Context(), s.ID, time.Time{}, 10_000)
	r.must(err, "ticks")
	return ticks
}

// tickAt is a tick of a schedule so many minutes after it was made.
func tickAt(s offstage.ScheduleInfo, minutes int) offstage.NewTick {
	at := s.Since.Add(time.Duration(minutes) * time.Minute)
	return offstage.NewTick{At: at, Job: s.TickOf(offstage.Tick{At: at})}
}

func namesOf(schedules []offstage.ScheduleInfo) string {
	text := ""
	for _, s := range schedules {
		text += s.Name + " "
	}
	return text
}

func scheduleFind(r *rig) {
	s := r.plan("nightly")
	s.Description, s.Tags, s.Owner, s.Paused = "Büro <&>", []string{"a", "b"}, "shop", true
	s.Job.Args, s.Job.Metadata = []byte(`{"n":1}`), map[string]string{"k": "v"}
	s.MaxRuns, s.Overlap, s.Missed, s.MissedWindow, s.Jitter = 5, offstage.OverlapQueue, offstage.MissedAll, time.Hour, time.Minute
	s.Start, s.LastTick, s.NextTick, s.LookAt = s.Since, s.Since.Add(1), s.Since.Add(time.Hour), s.Since.Add(2*time.Hour)
	r.save(s)
	page, err := r.peer().FindSchedules(r.Context(), offstage.ScheduleQuery{Limit: 10})
	r.must(err, "find schedules")
	if len(page.Schedules) != 1 || page.Schedules[0].ID == 0 || page.Schedules[0].Version == 0 {
		r.Fatalf("found %+v", page.Schedules)
	}
	got := page.Schedules[0]
	s.ID, s.Version = got.ID, got.Version
	same(r, "schedule", asJSON(r, got), asJSON(r, s))
	r.pass(time.Minute)
	if later := r.findSchedules(offstage.ScheduleQuery{Limit: 1}).Now.Sub(page.Now); later < time.Minute || later > 2*time.Minute {
		r.Errorf("after a minute the store's clock is %s on", later)
	}
	other := r.save(r.plan("other"))
	if other.ID == got.ID {
		r.Errorf("two schedules have the id %d", other.ID)
	}
}

func asJSON(r *rig, value any) string {
	r.Helper()
	text, err := json.Marshal(value)
	r.must(err, "marshal")
	return string(text)
}

func schedulePages(r *rig) {
	for _, name := range []string{"c", "a", "B", "d", "a:1"} {
		r.save(r.plan(name))
	}
	same(r, "first", namesOf(r.findSchedules(offstage.ScheduleQuery{Limit: 3}).Schedules), "B a a:1 ")
	same(r, "then", namesOf(r.findSchedules(offstage.ScheduleQuery{After: "a:1", Limit: 3}).Schedules), "c d ")
	same(r, "last", len(r.findSchedules(offstage.ScheduleQuery{After: "d", Limit: 3}).Schedules), 0)
	same(r, "of no name", len(r.findSchedules(offstage.ScheduleQuery{Name: "e", Limit: 3}).Schedules), 0)
}

func scheduleVersion(r *rig) {
	s := r.save(r.plan("nightly"))
	newer := s
	newer.Description = "changed"
	newer = r.save(newer)
	if newer.Version <= s.Version || newer.ID != s.ID {
		r.Errorf("version %d of %d became version %d of %d", s.Version, s.ID, newer.Version, newer.ID)
	}
	s.Description = "too late"
	for _, remove := range []bool{false, true} {
		old := offstage.ScheduleChange{Schedule: s, Remove: remove, Ticks: []offstage.NewTick{tickAt(s, 0)}}
		same(r, "an old version counted", r.change(old).Counted, false)
	}
	same(r, "description", r.schedule("nightly").Description, "changed")
	same(r, "ticks", len(r.ticks(newer)), 0)
	same(r, "jobs", len(r.worker().search()), 0)
}

func scheduleSameName(r *rig) {
	first := r.save(r.plan("nightly"))
	same(r, "counted", r.change(offstage.ScheduleChange{Schedule: r.plan("nightly")}).Counted, false)
	same(r, "id", r.schedule("nightly").ID, first.ID)
}

func scheduleRace(r *rig) {
	s := r.save(r.plan("nightly"))
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	counted := 0
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			mine := s
			mine.Runs = int64(g)
			changed, err := stores[g%2].ChangeSchedules(r.Context(), []offstage.ScheduleChange{{Schedule: mine, Ticks: []offstage.NewTick{tickAt(s, 0)}}})
			if err != nil {
				if offstage.ClassOf(err) != offstage.FaultBusy {
					r.Errorf("change: %v", err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if changed[0].Counted {
				counted++
			}
		})
	}
	group.Wait()
	same(r, "changes that counted", counted, 1)
	same(r, "jobs", len(r.worker().search()), 1)
	same(r, "ticks", len(r.ticks(s)), 1)
}

func scheduleEach(r *rig) {
	a, b := r.save(r.plan("a")), r.save(r.plan("b"))
	r.save(b)
	changes := []offstage.ScheduleChange{
		{Schedule: a, Ticks: []offstage.NewTick{tickAt(a, 0), tickAt(a, 1)}},
		{Schedule: b, Ticks: []offstage.NewTick{tickAt(b, 0)}}, // its version is old
		{Schedule: r.plan("c"), Ticks: []offstage.NewTick{tickAt(r.plan("c"), 0)}},
	}
	changed, err := r.store.ChangeSchedules(r.Context(), changes)
	r.must(err, "change schedules")
	for i, want := range []bool{true, false, true} {
		same(r, fmt.Sprintf("change %d counted", i), changed[i].Counted, want)
	}
	same(r, "jobs", len(r.worker().search()), 3)
	same(r, "ticks of a", len(r.ticks(a)), 2)
	same(r, "ticks of b", len(r.ticks(b)), 0)
	same(r, "id of c", r.schedule("c").ID, changed[2].ID)
}

func scheduleDue(r *rig) {
	now := r.findSchedules(offstage.ScheduleQuery{Limit: 1}).Now
	for name, minutes := range map[string]int{"soon": 10, "second": 2, "first": 1, "third": 3} {
		s := r.plan(name)
		s.LookAt = now.Add(time.Duration(minutes) * time.Minute)
		r.save(s)
	}
	r.save(r.plan("never"))
	page := r.findSchedules(offstage.ScheduleQuery{Due: true, Limit: 10})
	same(r, "due at once", namesOf(page.Schedules), "")
	sameTime(r, "next", page.Next, now.Add(time.Minute))
	r.pass(5 * time.Minute)
	page = r.findSchedules(offstage.ScheduleQuery{Due: true, Limit: 2})
	same(r, "due", namesOf(page.Schedules), "first second ")
	page = r.findSchedules(offstage.ScheduleQuery{Due: true, Limit: 10})
	same(r, "due", namesOf(page.Schedules), "first second third ")
	sameTime(r, "next", page.Next, now.Add(10*time.Minute))
	for _, s := range page.Schedules {
		s.LookAt = time.Time{}
		r.save(s)
	}
	same(r, "due then", namesOf(r.findSchedules(offstage.ScheduleQuery{Due: true, Limit: 10}).Schedules), "")
}

func scheduleRemove(r *rig) {
	s := r.save(r.plan("nightly"))
	s = r.save(s, tickAt(s, 0))
	same(r, "removed", r.change(offstage.ScheduleChange{Schedule: s, Remove: true}).Counted, true)
	same(r, "found", len(r.findSchedules(offstage.ScheduleQuery{Limit: 10}).Schedules), 0)
	same(r, "removed again", r.change(offstage.ScheduleChange{Schedule: s, Remove: true}).Counted, false)
	same(r, "changed afterwards", r.change(offstage.ScheduleChange{Schedule: s}).Counted, false)
	same(r, "ticks", len(r.ticks(s)), 0)
	same(r, "jobs", len(r.worker().search()), 1)
	again := r.save(r.plan("nightly"))
	if again.ID == s.ID {
		r.Errorf("the id %d was given again", s.ID)
	}
	same(r, "ticks of the new one", len(r.ticks(again)), 0)
}

func scheduleTick(r *rig) {
	s := r.plan("nightly")
	s.Job.Args, s.Job.Priority, s.Job.Tags = []byte(`{"n":1}`), 2, []string{"x"}
	s = r.save(s)
	tick := offstage.Tick{At: s.Since, Previous: s.Since.Add(-time.Hour), Late: true}
	now := r.findSchedules(offstage.ScheduleQuery{Limit: 1}).Now
	future := offstage.NewTick{At: now.Add(time.Hour), Job: s.TickOf(offstage.Tick{At: now.Add(time.Hour)}), Manual: true}
	changed := r.change(offstage.ScheduleChange{Schedule: s, Ticks: []offstage.NewTick{{At: tick.At, Job: s.TickOf(tick), Late: true}, future}})
	same(r, "counted", changed.Counted, true)
	taken := r.worker().takeOne() // what is due later is not
	same(r, "job", taken.ID, changed.Jobs[0].ID)
	same(r, "args", string(taken.Args), `{"n":1}`)
	same(r, "priority", taken.Priority, 2)
	same(r, "tags", fmt.Sprint(taken.Tags), "[x]")
	tick.Schedule = "nightly"
	same(r, "tick", asJSON(r, taken.Tick), asJSON(r, &tick))
	r.wantState(offstage.Scheduled, changed.Jobs[1].ID)
	history := r.ticks(s)
	same(r, "ticks", len(history), 2)
	for i, want := range []offstage.TickInfo{
		{At: future.At, Outcome: offstage.TickEnqueued, Job: changed.Jobs[1].ID, Manual: true},
		{At: tick.At, Outcome: offstage.TickEnqueued, Job: changed.Jobs[0].ID, Late: true},
	} {
		got := history[i]
		sameTime(r, "at", got.At, want.At)
		if got.SeenAt.Before(now) || got.SeenAt.After(now.Add(time.Minute)) {
			r.Errorf("seen at %s, now is %s", got.SeenAt, now)
		}
		got.At, got.SeenAt = want.At, want.SeenAt
		same(r, "tick", got, want)
	}
}

func scheduleTickOnce(r *rig) {
	s := r.save(r.plan("nightly"))
	s = r.save(s, tickAt(s, 0))
	again := s
	again.Description = "again"
	same(r, "counted", r.change(offstage.ScheduleChange{Schedule: again, Ticks: []offstage.NewTick{tickAt(s, 1), tickAt(s, 0)}}).Counted, false)
	same(r, "description", r.schedule("nightly").Description, "")
	same(r, "ticks", len(r.ticks(s)), 1)
	same(r, "jobs", len(r.worker().search()), 1)
	other := r.save(r.plan("other"))
	r.save(other, tickAt(other, 0)) // another's tick at the same time
}

func schedulePassedOver(r *rig) {
	s := r.save(r.plan("nightly"))
	changed := r.change(offstage.ScheduleChange{Schedule: s, Ticks: []offstage.NewTick{{At: s.Since, Late: true}}})
	same(r, "job", changed.Jobs[0], offstage.Inserted{})
	history := r.ticks(s)
	same(r, "ticks", len(history), 1)
	same(r, "outcome", history[0].Outcome, offstage.TickMissed)
	same(r, "job", history[0].Job, 0)
	same(r, "jobs", len(r.worker().search()), 0)
}

func scheduleOverlap(r *rig) {
	s := r.plan("nightly")
	s.Overlap = offstage.OverlapSkip
	s = r.save(s)
	first := r.change(offstage.ScheduleChange{Schedule: s, Ticks: []offstage.NewTick{tickAt(s, 0)}}).Jobs[0]
	second := r.change(offstage.ScheduleChange{Schedule: r.schedule("nightly"), Ticks: []offstage.NewTick{tickAt(s, 1)}}).Jobs[0]
	same(r, "second", second, offstage.Inserted{ID: first.ID, Existed: true})
	history := r.ticks(s)
	same(r, "outcome", history[0].Outcome, offstage.TickOverlap)
	same(r, "job", history[0].Job, first.ID)
	w := r.worker()
	w.counted(w.takeOne().completed())
	third := r.change(offstage.ScheduleChange{Schedule: r.schedule("nightly"), Ticks: []offstage.NewTick{tickAt(s, 2)}}).Jobs[0]
	same(r, "third existed", third.Existed, false)
	same(r, "outcome", r.ticks(s)[0].Outcome, offstage.TickEnqueued)
}

func scheduleHistory(r *rig) {
	s := r.save(r.plan("nightly"))
	const extra = 30
	for from := 0; from < offstage.KeepTicks+extra; from += 206 { // five times
		var ticks []offstage.NewTick
		for n := from; n < from+206; n++ {
			tick := tickAt(s, n)
			tick.Job = nil
			ticks = append(ticks, tick)
		}
		s = r.save(s, ticks...)
	}
	all := r.ticks(s)
	same(r, "ticks", len(all), offstage.KeepTicks)
	for i, tick := range all {
		sameTime(r, "at", tick.At, s.Since.Add(time.Duration(offstage.KeepTicks+extra-1-i)*time.Minute))
	}
	page, err := r.store.Ticks(r.Context(), s.ID, all[2].At, 2)
	r.must(err, "ticks")
	same(r, "page", len(page), 2)
	sameTime(r, "at", page[0].At, all[3].At)
	sameTime(r, "at", page[1].At, all[4].At)
}

func scheduleMany(r *rig) {
	const n = 1000
	var made []offstage.ScheduleChange
	s := r.plan("")
	for i := range n {
		s.Name = fmt.Sprintf("s%04d", i)
		s.Job.Args = fmt.Appendf(nil, `{"n":%d}`, i)
		made = append(made, offstage.ScheduleChange{Schedule: s})
	}
	_, err := r.store.ChangeSchedules(r.Context(), made)
	r.must(err, "make schedules")
	var fired []offstage.ScheduleChange
	for _, s := range r.findSchedules(offstage.ScheduleQuery{Limit: n}).Schedules {
		fired = append(fired, offstage.ScheduleChange{Schedule: s, Ticks: []offstage.NewTick{tickAt(s, 0)}})
	}
	same(r, "schedules", len(fired), n)
	jobs := map[offstage.ID]int{}
	for i, half := range [][]offstage.ScheduleChange{fired[:n/2], fired[n/2:]} {
		changed, err := r.store.ChangeSchedules(r.Context(), half)
		r.must(err, "change schedules")
		for j, c := range changed {
			if !c.Counted {
				r.Fatalf("schedule %d did not count", i*n/2+j)
			}
			jobs[c.Jobs[0].ID] = i*n/2 + j
		}
	}
	taken := r.worker().take(n)
	same(r, "different jobs", len(jobs), n)
	for _, job := range taken {
		if want := fmt.Sprintf(`{"n":%d}`, jobs[job.ID]); string(job.Args) != want || job.Tick == nil || job.Tick.Schedule != fmt.Sprintf("s%04d", jobs[job.ID]) {
			r.Fatalf("job %d has the args %s and the tick %+v, want %s", job.ID, job.Args, job.Tick, want)
		}
	}
}

func scheduleNews(r *rig) {
	news, stop := r.watch()
	hear := func() {
		for n := range news {
			if n == offstage.NewsAny {
				return
			}
		}
	}
	s := r.save(r.plan("told"))
	hear()
	s.Paused = true
	s = r.save(s)
	hear()
	r.change(offstage.ScheduleChange{Schedule: s, Remove: true})
	hear()
	stop()
}
