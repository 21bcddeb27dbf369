package checker

import (
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// rescued is a job that completed in its second run.
func rescued(kind string, first offstage.Outcome) history.Job {
	return history.Job{ID: 1, Kind: kind, Key: "p/1", State: offstage.Completed, Run: 2,
		Attempts: attempts(offstage.Completed, first, completed)}
}

func TestOverlaps(t *testing.T) {
	both := func(s *scene, end int64) {
		s.sent(0, quick)
		s.start(5, "w", 1, 1)
		if end > 0 {
			s.end(end, "w", 1, 1, history.OK)
		}
		s.done(3000, "v", 1, 2)
		s.list(rescued("quick", gone))
	}
	cases{
		"two runs at once":          func(s *scene) { both(s, 4000) },
		"a run that never ended":    func(s *scene) { both(s, 0) },
		"a pause of half a lease":   func(s *scene) { both(s, 4000); s.fault(2000, 2500, "stop-cont", "w", history.Pauses) },
		"a pause that was long ago": func(s *scene) { both(s, 4000); s.fault(100, 1300, "stop-cont", "w", history.Pauses) },
		"another worker's pause":    func(s *scene) { both(s, 4000); s.fault(1000, 3500, "stop-cont", "u", history.Pauses) },
		"a later death":             func(s *scene) { both(s, 0); s.fault(3005, 3009, "kill-worker", "w", history.Kills); s.died(3009, "w") },
		"told too late":             func(s *scene) { both(s, 4000); s.told(3001, "w", 1, 1, history.CauseLeaseLost) },
		"told to stop, which does not end the lease": func(s *scene) {
			both(s, 4000)
			s.told(2000, "w", 1, 1, history.CauseShutdown)
		},
	}.run(t, overlap)
	cases{
		"killed before":          func(s *scene) { both(s, 0); s.fault(100, 110, "kill-worker", "w", history.Kills); s.died(110, "w") },
		"ended before":           func(s *scene) { both(s, 2999) },
		"a pause over its lease": func(s *scene) { both(s, 4000); s.fault(1000, 3500, "stop-cont", "w", history.Pauses) },
		"starved over its lease": func(s *scene) { both(s, 4000); s.at(3500, "w", history.Event{What: history.Stall, Wait: 2500}) },
		"told in time":           func(s *scene) { both(s, 4000); s.told(2000, "w", 1, 1, history.CauseLeaseLost) },
		"left behind by a process that stopped": func(s *scene) {
			both(s, 0)
			s.fault(1000, 3100, "term-deploy", "w", history.Stops)
			s.told(2000, "w", 1, 1, history.CauseShutdown)
			s.died(3100, "w")
		},
	}.run(t)
}

func TestOverrunsAreCounted(t *testing.T) {
	s := newScene()
	s.sent(0, quick)
	s.start(5, "w", 1, 1)
	s.fault(1000, 3500, "stop-cont", "w", history.Pauses)
	s.end(3600, "w", 1, 1, history.OK)
	s.done(3000, "v", 1, 2)
	s.list(rescued("quick", gone))
	if r := s.check(); r.Overruns != (Overruns{Paused: 1}) {
		t.Errorf("counted %+v, want one paused", r.Overruns)
	}
}

func TestRunTwice(t *testing.T) {
	cases{"two workers started the same run": func(s *scene) {
		s.sent(0, quick)
		s.done(5, "w", 1, 1)
		s.start(30, "v", 1, 1)
		s.list(quick)
	}}.run(t, runTwice)
}

func TestEarly(t *testing.T) {
	cases{
		"before its delay": func(s *scene) {
			s.at(0, "p", history.Event{What: history.Send, Key: "p/1", Kind: "quick", Wait: 100})
			s.at(1, "p", history.Event{What: history.Ack, Key: "p/1", Job: 1})
			s.done(50, "w", 1, 1)
			s.list(quick)
		},
		"before the retry's wait": func(s *scene) {
			s.sent(0, quick)
			s.start(5, "w", 1, 1)
			s.at(6, "w", history.Event{What: history.End, Job: 1, Run: 1, How: history.Error, Wait: 100})
			s.done(50, "w", 1, 2)
			job := rescued("quick", errored)
			job.Errors = 1
			s.list(job)
		},
	}.run(t, early)
	cases{
		"a wait whose end did not count": func(s *scene) {
			s.sent(0, quick)
			s.start(5, "w", 1, 1)
			s.at(6, "w", history.Event{What: history.End, Job: 1, Run: 1, How: history.Error, Wait: 100})
			s.fault(7, 8, "kill-worker", "w", history.Kills)
			s.done(50, "v", 1, 2)
			s.list(rescued("quick", gone))
		},
		"after its delay": func(s *scene) {
			s.at(0, "p", history.Event{What: history.Send, Key: "p/1", Kind: "quick", Wait: 100})
			s.at(1, "p", history.Event{What: history.Ack, Key: "p/1", Job: 1})
			s.done(100, "w", 1, 1)
			s.list(quick)
		},
	}.run(t)
}

func TestAttemptsOver(t *testing.T) {
	charged := func(kind string, outcomes ...offstage.Outcome) history.Job {
		job := history.Job{ID: 1, Kind: kind, Key: "p/1", State: offstage.Failed, Run: len(outcomes),
			Attempts: attempts(offstage.Failed, outcomes...)}
		for _, outcome := range outcomes {
			if outcome == errored {
				job.Errors++
			}
		}
		return job
	}
	failed := func(s *scene, runs int) {
		s.sent(0, history.Job{ID: 1, Kind: "flaky", Key: "p/1"})
		for run := 1; run <= runs; run++ {
			s.start(int64(run*10), "w", 1, run)
			s.end(int64(run*10+5), "w", 1, run, history.Error)
		}
	}
	cases{
		"more failures than its kind allows": func(s *scene) { failed(s, 4); s.list(charged("flaky", errored, errored, errored, errored)) },
		"charged for a death": func(s *scene) {
			failed(s, 1)
			s.start(30, "w", 1, 2)
			s.fault(40, 41, "kill-worker", "w", history.Kills)
			s.list(charged("flaky", errored, errored))
		},
		"charged for a deploy": func(s *scene) {
			failed(s, 1)
			s.start(30, "w", 1, 2)
			s.end(40, "w", 1, 2, history.Cause)
			s.list(charged("flaky", errored, errored))
		},
		"charged for a run that never started": func(s *scene) { failed(s, 1); s.list(charged("flaky", errored, errored)) },
		"an error counted that was none": func(s *scene) {
			failed(s, 1)
			job := charged("flaky", errored)
			job.Errors = 2
			s.list(job)
		},
	}.run(t, attemptsOver)
	cases{"as many failures as its kind allows, and a deploy": func(s *scene) {
		failed(s, 2)
		s.start(30, "w", 1, 3)
		s.end(40, "w", 1, 3, history.Cause)
		s.start(50, "v", 1, 4)
		s.end(60, "v", 1, 4, history.Error)
		s.list(charged("flaky", errored, errored, interrupted, errored))
	}}.run(t)
}

func TestCancel(t *testing.T) {
	cancelled := func(s *scene, ms int64, answer offstage.State) {
		s.at(ms, "p", history.Event{What: history.CancelSend, Job: 1})
		s.at(ms+1, "p", history.Event{What: history.CancelAck, Job: 1, Next: answer})
	}
	ended := history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Cancelled, Run: 1,
		Attempts: attempts(offstage.Cancelled, calledOff)}
	cases{
		"started after it was cancelled": func(s *scene) {
			s.sent(0, quick)
			cancelled(s, 2, offstage.Cancelled)
			s.start(5, "w", 1, 1)
			s.list(ended)
		},
		"started twice after its cancel was acknowledged": func(s *scene) {
			s.sent(0, quick)
			cancelled(s, 2, offstage.Running)
			s.start(5, "w", 1, 1)
			s.fault(6, 7, "kill-worker", "w", history.Kills)
			s.start(1500, "v", 1, 2)
			job := ended
			job.Run, job.Attempts = 2, attempts(offstage.Cancelled, gone, calledOff)
			s.list(job)
		},
		"failed though its cancel was acknowledged": func(s *scene) {
			s.sent(0, quick)
			s.start(1, "w", 1, 1)
			cancelled(s, 2, offstage.Running)
			s.end(5, "w", 1, 1, history.Error)
			job := ended
			job.State, job.Errors, job.Attempts = offstage.Failed, 1, attempts(offstage.Failed, errored)
			s.list(job)
		},
	}.run(t, uncancelled)
	cases{
		"cancelled while it waits": func(s *scene) { s.sent(0, quick); cancelled(s, 2, offstage.Cancelled); s.list(ended) },
		"its claim was in flight": func(s *scene) {
			s.sent(0, quick)
			cancelled(s, 2, offstage.Running)
			s.start(5, "w", 1, 1)
			s.list(ended)
		},
		"it completed all the same": func(s *scene) {
			s.sent(0, quick)
			s.start(1, "w", 1, 1)
			cancelled(s, 2, offstage.Running)
			s.end(5, "w", 1, 1, history.OK)
			s.list(quick)
		},
	}.run(t)
}
