package storetest

import (
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

var statsCases = []Case{
	{"stats/queues", "Stats brings for each queue, by name, how many jobs are ready, running, and scheduled or retrying, as of the last count.", statsQueues},
	{"stats/oldest and age", "Stats says how long the oldest ready job has been due, and how old the figures are.", statsOldest},
	{"stats/emptied", "A queue that has been emptied is counted as empty, and its figures stay young though nothing changes.", statsEmptied},
	{"stats/paused", "Stats says which queues and kinds are paused.", statsPaused},
	{"stats/workers", "Stats brings the living workers: what they told of themselves, since when, how many jobs they run, and who leads.", statsWorkers},
	{"stats/registered queues", "A worker's queues are known from its registration on.", statsRegisteredQueues},
	{"stats/kinds", "Stats brings the kinds, by name, with their retention.", statsKinds},
	{"stats/capped", "Counting a queue's jobs stops at MaxCounted and says so.", statsCapped},
}

// stats counts and returns the figures.
func (r *rig) stats() offstage.Stats {
	r.Helper()
	stats, err := r.store.Stats(r.Context())
	r.must(err, "stats")
	return stats
}

// queueStats returns the figures of a queue.
func (r *rig) queueStats(queue string) offstage.QueueStats {
	r.Helper()
	for _, figures := range r.stats().Queues {
		if figures.Queue == queue {
			return figures
		}
	}
	r.Fatalf("stats do not bring queue %s", queue)
	return offstage.QueueStats{}
}

func statsQueues(r *rig) {
	r.insert(echoIn("b", 5), echoIn("a", 5), echoIn("a", 1), echoIn("b", 5), echoIn("c", 5), echoIn("c", 5))
	scheduled := echoIn("a", 5)
	scheduled.Delay = time.Hour
	r.insert(scheduled, scheduled)
	w := r.worker()
	jobs := w.takeFrom(3, "b", "c")
	w.counted(jobs[0].ended(offstage.OutcomeErrored, offstage.Retrying), jobs[2].completed())
	jobs = w.takeFrom(1, "b") // the retry had no wait: it is ready again
	retry := jobs[0].errored(time.Hour)
	w.counted(retry)
	r.chore(offstage.Count)
	var got [][]any
	for _, q := range r.stats().Queues {
		if len(q.Queue) == 1 {
			got = append(got, []any{q.Queue, q.Ready, q.Running, q.Scheduled, q.Capped})
		}
	}
	same(r, "queue, ready, running, scheduled, capped", got, [][]any{
		{"a", 2, 0, 2, false}, {"b", 0, 1, 1, false}, {"c", 1, 0, 0, false},
	})
}

func statsOldest(r *rig) {
	r.insert(echoIn("other", 5))
	r.pass(time.Minute)
	r.insert(echo(), echoAfter(time.Second))
	r.pass(90 * time.Second)
	r.insert(echo())
	r.chore(offstage.Count)
	same(r, "oldest ready", r.queueStats(offstage.DefaultQueue).OldestReady.Truncate(time.Minute), time.Minute)
	r.pass(10 * time.Minute)
	got := r.queueStats(offstage.DefaultQueue)
	same(r, "oldest ready, without a new count", got.OldestReady.Truncate(time.Minute), time.Minute)
	same(r, "age", got.Age.Truncate(time.Minute), 10*time.Minute)
	w := r.worker()
	w.take(2)
	r.chore(offstage.Promote)
	w.take(1)
	r.chore(offstage.Count)
	got = r.queueStats(offstage.DefaultQueue)
	same(r, "ready and oldest when there are none", [2]any{got.Ready, got.OldestReady}, [2]any{0, time.Duration(0)})
}

func statsEmptied(r *rig) {
	r.insert(echoIn("a", 5), echoIn("a", 5))
	r.chore(offstage.Count)
	same(r, "ready before", r.queueStats("a").Ready, 2)
	w := r.worker()
	for _, job := range w.takeFrom(2, "a") {
		w.counted(job.completed())
	}
	for range 3 {
		r.chore(offstage.Count)
		figures := r.queueStats("a")
		same(r, "ready", figures.Ready, 0)
		if figures.Age > time.Minute {
			r.Errorf("the figures are %s old after a count", figures.Age)
		}
		r.pass(2 * time.Minute)
	}
}

func statsPaused(r *rig) {
	r.insert(echoIn("a", 5))
	r.pause(offstage.PauseTarget{Queue: "a"}, true)
	r.pause(offstage.PauseTarget{Kind: "echo"}, true)
	same(r, "queue paused", r.queueStats("a").Paused, true)
	kindPaused := func() bool {
		for _, kind := range r.stats().Kinds {
			if kind.Name == "echo" {
				return kind.Paused
			}
		}
		r.Fatal("stats do not bring kind echo")
		return false
	}
	same(r, "kind paused", kindPaused(), true)
	r.pause(offstage.PauseTarget{Queue: "a"}, false)
	r.pause(offstage.PauseTarget{Kind: "echo"}, false)
	same(r, "paused when resumed", [2]bool{r.queueStats("a").Paused, kindPaused()}, [2]bool{})
}

func statsWorkers(r *rig) {
	created := r.get(r.insertOne(echo())).CreatedAt
	r.insert(echoes(3)...)
	r.pass(time.Minute)
	info := offstage.WorkerInfo{
		Name: "host é:17", Queues: []string{offstage.DefaultQueue, "mail"}, Slots: 12,
		Kinds: []offstage.Kind{{Name: "echo"}, {Name: "send_mail", Retention: offstage.Retention{Completed: time.Hour}}},
	}
	w := r.workerOn(r.peer(), info)
	leader, dying, dead := r.worker(), r.worker(), r.worker()
	leader.lead(time.Hour)
	dying.halfDie()
	dead.die()
	jobs := w.take(3)
	w.counted(jobs[0].completed())
	workers := r.stats().Workers
	if len(workers) != 2 {
		r.Fatalf("%d workers, want 2", len(workers))
	}
	mine, other := workers[0], workers[1]
	if mine.ID != w.id {
		mine, other = other, mine
	}
	same(r, "id", mine.ID, w.id)
	same(r, "info", mine.WorkerInfo, info)
	same(r, "running", mine.Running, 2)
	same(r, "leads", [2]bool{mine.Leads, other.Leads}, [2]bool{false, true})
	if since := mine.StartedAt.Sub(created); since < time.Minute {
		r.Errorf("it was registered a minute after the first job; its start is %s after it", since)
	}
}

func statsRegisteredQueues(r *rig) {
	r.workerOn(r.store, offstage.WorkerInfo{Queues: []string{"b", "a"}})
	r.workerOn(r.peer(), offstage.WorkerInfo{Queues: []string{"c", "a"}})
	var names []string
	for _, q := range r.stats().Queues {
		names = append(names, q.Queue)
	}
	same(r, "queues", names, []string{"a", "b", "c"})
}

func statsKinds(r *rig) {
	r.workerOn(r.store, offstage.WorkerInfo{Kinds: []offstage.Kind{
		{Name: "b", Retention: offstage.Retention{Completed: time.Hour, Failed: -1}}, {Name: "a"},
	}})
	want := []offstage.KindStats{{Kind: offstage.Kind{Name: "a"}}, {Kind: offstage.Kind{Name: "b", Retention: offstage.Retention{Completed: time.Hour, Failed: -1}}}}
	same(r, "kinds", r.stats().Kinds, want)
	r.workerOn(r.peer(), offstage.WorkerInfo{Kinds: []offstage.Kind{{Name: "b", Retention: offstage.Retention{Completed: time.Minute}}}})
	want[1].Retention = offstage.Retention{Completed: time.Minute}
	same(r, "kinds when one has changed", r.stats().Kinds, want)
}

func statsCapped(r *rig) {
	if testing.Short() {
		r.Skip("inserts 100,001 jobs: not with -short")
	}
	_, err := r.store.InsertSeq(r.Context(), sequence(offstage.MaxCounted+1, nil))
	r.must(err, "insert sequence")
	r.chore(offstage.Publish)
	r.chore(offstage.Count)
	got := r.queueStats(offstage.DefaultQueue)
	same(r, "ready, capped", [2]any{got.Ready, got.Capped}, [2]any{offstage.MaxCounted, true})
}
