package checker

import (
	"reflect"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

func TestUnique(t *testing.T) {
	job := func(id offstage.ID, key, kind string) history.Job {
		return history.Job{ID: id, Kind: kind, Key: key, Unique: "u", State: offstage.Completed, Run: 1}
	}
	one, two := job(1, "p/1", "unique"), job(2, "p/2", "unique")
	cases{
		"two that ran at once": func(s *scene) {
			s.send(0, one)
			s.send(0, two)
			s.done(10, "w", 1, 1)
			s.done(15, "v", 2, 1)
			s.list(one)
			s.list(two)
		},
		"one was enqueued while the other waited": func(s *scene) {
			s.sent(0, one)
			s.sent(5, two)
			s.done(10, "w", 1, 1)
			s.done(50, "v", 2, 1)
			s.list(one)
			s.list(two)
		},
		"one was enqueued while the other waited for its retry": func(s *scene) {
			s.sent(0, one)
			s.start(5, "w", 1, 1)
			s.end(6, "w", 1, 1, history.Error)
			s.sent(20, two)
			s.done(50, "w", 1, 2)
			s.done(80, "v", 2, 1)
			retried := one
			retried.Run, retried.Errors, retried.Attempts = 2, 1, attempts(offstage.Completed, errored, completed)
			s.list(retried)
			s.list(two)
		},
		"two of a key that allows one for ever": func(s *scene) {
			s.sent(0, job(1, "p/1", "once"))
			s.done(10, "w", 1, 1)
			s.sent(50, job(2, "p/2", "once"))
			s.done(60, "v", 2, 1)
			s.list(job(1, "p/1", "once"))
			s.list(job(2, "p/2", "once"))
		},
	}.run(t, uniqueViolation)
	cases{
		"one after the other": func(s *scene) {
			s.sent(0, one)
			s.done(10, "w", 1, 1)
			s.sent(22, two)
			s.done(50, "v", 2, 1)
			s.list(one)
			s.list(two)
		},
		"found there": func(s *scene) {
			s.sent(0, one)
			s.send(2, two)
			s.at(3, "p", history.Event{What: history.Ack, Key: "p/2", Job: 1, Existed: true})
			s.done(10, "w", 1, 1)
			s.list(one)
		},
	}.run(t)
}

// dies writes runs of a job that each ended with their worker's death.
func (s *scene) dies(job offstage.ID, wished bool, workers ...string) {
	for i, w := range workers {
		at := int64(1000 * (i + 1))
		s.at(at, w, history.Event{What: history.Start, Job: job, Run: i + 1, Lost: i})
		if wished {
			s.at(at+5, w, history.Event{What: history.Suicide, Job: job, Run: i + 1})
		} else {
			s.fault(at+5, at+6, "kill-worker", w, history.Kills)
		}
		s.died(at+7, w)
	}
}

func TestPoison(t *testing.T) {
	poison := history.Job{ID: 1, Kind: "poison", Key: "p/1", State: offstage.Failed, Run: 3, Lost: 3,
		Attempts: attempts(offstage.Failed, gone, gone, gone)}
	cases{"poison that failed after three deaths": func(s *scene) {
		s.sent(0, poison)
		s.dies(1, true, "u", "v", "w")
		s.list(poison)
	}}.run(t)
	cases{
		"it killed a fourth worker": func(s *scene) {
			s.sent(0, poison)
			s.dies(1, true, "u", "v", "w", "x")
			job := poison
			job.Run, job.Attempts = 4, attempts(offstage.Failed, gone, gone, gone, gone)
			s.list(job)
		},
		"it failed as if by an error": func(s *scene) {
			s.sent(0, poison)
			s.start(5, "w", 1, 1)
			s.end(6, "w", 1, 1, history.Error)
			job := poison
			job.Run, job.Errors, job.Attempts = 1, 1, attempts(offstage.Failed, errored)
			s.list(job)
		},
	}.run(t, immortal)
}

// besides is a job of which two workers have died, and which runs from 3 s on
// beside poison that starts at ms and kills their worker.
func (s *scene) besides(ms int64) {
	s.sent(0, quick)
	s.dies(1, false, "u", "v")
	poison := history.Job{ID: 2, Kind: "poison", Key: "p/2", State: offstage.Cancelled, Run: 1, Attempts: attempts(offstage.Cancelled, gone)}
	s.sent(0, poison)
	s.at(3000, "w", history.Event{What: history.Start, Job: 1, Run: 3, Lost: 2})
	s.start(ms, "w", 2, 1)
	s.at(ms+5, "w", history.Event{What: history.Suicide, Job: 2, Run: 1})
	s.died(ms+6, "w")
	s.list(poison)
}

func TestNeighbours(t *testing.T) {
	blamed := history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Failed, Run: 3, Lost: 3,
		Attempts: attempts(offstage.Failed, gone, gone, gone)}
	cases{
		"blamed for a run that never started": func(s *scene) {
			s.sent(0, quick)
			s.dies(1, false, "u", "v")
			s.list(blamed)
		},
		"blamed after two deaths": func(s *scene) {
			s.sent(0, quick)
			s.dies(1, false, "u", "v")
			job := blamed
			job.Run, job.Attempts = 2, attempts(offstage.Failed, gone, gone)
			s.list(job)
		},
		"blamed in the company of another suspect": func(s *scene) {
			s.sent(0, quick)
			s.dies(1, false, "u", "v", "w")
			s.sent(0, history.Job{ID: 2, Kind: "quick", Key: "p/2"})
			s.at(2990, "w", history.Event{What: history.Start, Job: 2, Run: 3, Lost: 2})
			s.list(blamed)
			s.done(5000, "x", 2, 4)
			job := history.Job{ID: 2, Kind: "quick", Key: "p/2", State: offstage.Completed, Run: 4}
			job.Attempts = attempts(offstage.Completed, gone, gone, gone, completed)
			s.list(job)
		},
		"failed by the death that another brought about soon": func(s *scene) {
			s.besides(3050)
			s.list(blamed)
		},
	}.run(t, neighbour)
	cases{
		"the other had started later than that": func(s *scene) {
			s.besides(3210)
			s.list(blamed)
		},
		"three workers were killed under it": func(s *scene) {
			s.sent(0, quick)
			s.dies(1, false, "u", "v", "w")
			s.list(blamed)
		},
		"the third was killed just before its start": func(s *scene) {
			s.sent(0, quick)
			s.dies(1, false, "u", "v")
			s.at(3000, "w", history.Event{What: history.Naming, Job: 1, Run: 3})
			s.list(blamed)
		},
	}.run(t)
}

func TestProcesses(t *testing.T) {
	cases{"a process that nobody killed": func(s *scene) { s.died(10, "w") }}.run(t, crash)
	cases{"a stop beyond the grace period": func(s *scene) {
		s.fault(1, 3002, "term-deploy", "w", history.Stops)
		s.died(3002, "w")
	}}.run(t, slowStop)
	cases{"a start long after the stop": func(s *scene) {
		s.sent(0, quick)
		s.fault(1, 1900, "term-deploy", "w", history.Stops)
		s.at(2, "w", history.Event{What: history.Stopping})
		s.done(1100, "w", 1, 1)
		s.died(1900, "w")
		s.list(quick)
	}}.run(t, lateStart)
	cases{"a fault that did not strike often enough": func(s *scene) {
		s.rules.Faults["kill-worker"] = 2
		s.fault(5, 6, "kill-worker", "w", history.Kills)
	}}.run(t, missingFault)
	cases{"kills and stops in time": func(s *scene) {
		s.rules.Faults["kill-worker"] = 1
		s.fault(5, 6, "kill-worker", "w", history.Kills)
		s.died(6, "w")
		s.fault(10, 3010, "term-deploy", "v", history.Stops)
		s.died(3010, "v")
	}}.run(t)
}

func TestRecovery(t *testing.T) {
	s := newScene()
	for id := offstage.ID(1); id <= 3; id++ {
		s.start(5, "w", id, 1)
	}
	s.end(50, "w", 1, 1, history.OK) // ended before the death: nothing to recover
	s.fault(100, 105, "kill-worker", "w", history.Kills)
	s.start(1300, "v", 1, 2)
	s.start(1350, "v", 2, 2)
	s.at(2100, "v", history.Event{What: history.Start, Job: 3, Run: 2, Lost: 2})
	r := s.check()
	if want := (Quantiles{P50: 1250, P99: 2000, Max: 2000}); r.Recovery != want || r.Recovered != 2 {
		t.Errorf("recovery is %+v of %d, want %+v of 2", r.Recovery, r.Recovered, want)
	}
	if want := (Quantiles{P50: 2000, P99: 2000, Max: 2000}); r.Suspects != want {
		t.Errorf("recovery of suspects is %+v, want %+v", r.Suspects, want)
	}
	if r.DiedAgain != 0 {
		t.Errorf("%d died again, want none", r.DiedAgain)
	}
	// Run 2 of this job was claimed by a worker that was killed before it started it,
	// run 3 by one that gave it back first.
	s.start(6, "w", 4, 1)
	s.at(900, "u", history.Event{What: history.Claimed, Job: 4, Run: 2, Lost: 1})
	s.fault(1000, 1005, "kill-worker", "u", history.Kills)
	s.at(1700, "x", history.Event{What: history.Claimed, Job: 4, Run: 3, Lost: 2})
	s.mark(1710, "x", 4, 3, offstage.Ready)
	s.fault(1720, 1725, "kill-worker", "x", history.Kills)
	s.start(1800, "v", 4, 4)
	again := Quantiles{P50: 800, P99: 800, Max: 800}
	if r := s.check(); r.DiedAgain != 1 || r.Again != again || r.Recovered != 3 || r.Recovery.P50 != 1700 || r.Usual.Max != 1700 {
		t.Errorf("died again %+v of %d, recovery %+v of %d, usual %+v; want 800 of 1, and 1250, 1700 and 2000 as recovery", r.Again, r.DiedAgain, r.Recovery, r.Recovered, r.Usual)
	}
	s.fault(1000, 1200, "pg-restart", "", history.Outage)
	if r := s.check(); r.Recovered != 0 || r.Delayed.Max != 2000 {
		t.Errorf("with an outage meanwhile, recovery is %+v of %d, and %+v; want all in the latter", r.Recovery, r.Recovered, r.Delayed)
	}
}

func TestStopsAreMeasured(t *testing.T) {
	s := newScene()
	s.fault(10, 210, "term-deploy", "w", history.Stops)
	s.died(200, "w")
	s.fault(10, 400, "kill-worker", "v", history.Kills) // killed: no stop
	s.died(400, "v")
	if want := (Quantiles{P50: 190, P99: 190, Max: 190}); s.check().Stop != want {
		t.Errorf("stop is %+v, want %+v", s.check().Stop, want)
	}
}

// A hundred completions a second stop for two seconds, and come back a second
// after the database.
func TestThroughput(t *testing.T) {
	s := newScene()
	for ms := int64(0); ms < 10_000; ms += 10 {
		if ms < 5000 || ms >= 8000 {
			s.mark(ms, "w", offstage.ID(ms+1), 1, offstage.Completed)
		}
	}
	s.fault(5000, 7000, "pg-restart", "", history.Outage)
	s.fault(9990, 9991, "pg-restart", "", history.Outage)
	r := s.check()
	if want := (Quantiles{P50: 1400, P99: 1400, Max: 1400}); r.Back != want || r.Unmeasured != 1 {
		t.Errorf("throughput is back after %+v, %d not measured; want %+v and 1", r.Back, r.Unmeasured, want)
	}
}

func TestQuantiles(t *testing.T) {
	var durations []time.Duration
	for n := 200; n > 0; n-- {
		durations = append(durations, time.Duration(n)*time.Millisecond)
	}
	if got, want := quantiles(durations), (Quantiles{P50: 100, P99: 198, Max: 200}); got != want {
		t.Errorf("of 1 to 200: %+v, want %+v", got, want)
	}
	if got := quantiles(nil); got != (Quantiles{}) {
		t.Errorf("of none: %+v", got)
	}
}

// A history in which everything happens that may happen is clean, and counted.
func TestClean(t *testing.T) {
	s := newScene()
	s.sent(0, quick)
	s.done(5, "w", 1, 1)
	s.list(quick)
	s.at(2, "p", history.Event{What: history.Send, Key: "p/2", Kind: "quick", Count: 2})
	s.at(3, "p", history.Event{What: history.Ack, Key: "p/2", Count: 2})
	for i, key := range []string{"p/2/0", "p/2/1"} {
		id := offstage.ID(2 + i)
		s.done(20, "w", id, 1)
		s.list(history.Job{ID: id, Kind: "quick", Key: key, State: offstage.Completed, Run: 1})
	}
	effect := history.Job{ID: 4, Kind: "effect", Key: "p/3", State: offstage.Completed, Run: 2,
		Attempts: attempts(offstage.Completed, gone, completed)}
	s.sent(30, effect)
	s.start(40, "w", 4, 1)
	s.fault(50, 51, "kill-worker", "w", history.Kills)
	s.died(51, "w")
	s.start(1500, "v", 4, 2)
	s.fault(1510, 1511, "kill-worker", "v", history.Kills) // between commit and return
	s.died(1511, "v")
	s.list(effect)
	s.listing.Effects[4] = 1
	s.send(60, history.Job{Key: "p/4", Kind: "paired"})
	s.at(61, "p", history.Event{What: history.Unknown, Key: "p/4"})
	once := history.Job{ID: 5, Key: "p/5", Kind: "once", Unique: "o", State: offstage.Completed, Run: 1}
	s.send(70, once)
	s.at(71, "p", history.Event{What: history.Unknown, Key: "p/5"})
	s.send(72, once) // a repeat; the first has made the job all the same
	s.at(73, "p", history.Event{What: history.Failed, Key: "p/5"})
	s.done(80, "w2", 5, 1)
	s.list(once)
	r := s.check()
	if len(r.Violations) > 0 {
		t.Fatalf("found %+v in a clean history", r.Violations)
	}
	got := []int{r.Acked, r.Unknown, r.Completed, r.Jobs, r.Starts, r.Recovered, r.Faults["kill-worker"]}
	if want := []int{4, 2, 5, 5, 6, 1, 2}; !reflect.DeepEqual(got, want) {
		t.Errorf("acked, unknown, completed, jobs, starts, recovered, kills are %v, want %v", got, want)
	}
}
