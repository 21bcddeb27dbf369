package checker

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

const (
	completed   = offstage.OutcomeCompleted
	errored     = offstage.OutcomeErrored
	interrupted = offstage.OutcomeInterrupted
	gone        = offstage.OutcomeLost
	calledOff   = offstage.OutcomeCancelled
)

func TestLost(t *testing.T) {
	cases{
		"acknowledged and not there": func(s *scene) { s.sent(0, quick) },
		"acknowledged and still waiting": func(s *scene) {
			s.sent(0, quick)
			s.list(history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Ready})
		},
		"ran and is not there": func(s *scene) {
			s.send(0, quick)
			s.done(5, "w", 1, 1)
		},
		"acknowledged as another job": func(s *scene) {
			s.sent(0, quick)
			s.send(2, history.Job{Key: "p/2"})
			s.done(5, "w", 1, 1)
			s.list(history.Job{ID: 1, Kind: "quick", Key: "p/2", State: offstage.Completed, Run: 1})
		},
		"acknowledged as being there, with another unique key": func(s *scene) {
			s.sent(0, quick)
			s.done(5, "w", 1, 1)
			s.list(quick)
			s.send(2, history.Job{Key: "p/2", Unique: "u"})
			s.at(3, "p", history.Event{What: history.Ack, Key: "p/2", Job: 1, Existed: true})
		},
		"a part of an acknowledged sequence": func(s *scene) {
			s.at(0, "p", history.Event{What: history.Send, Key: "p/1", Kind: "quick", Count: 2})
			s.at(1, "p", history.Event{What: history.Ack, Key: "p/1", Count: 2})
			s.done(5, "w", 1, 1)
			s.list(history.Job{ID: 1, Kind: "quick", Key: "p/1/0", State: offstage.Completed, Run: 1})
		},
	}.run(t, lost)
}

func TestPhantom(t *testing.T) {
	cases{
		"nobody enqueued it": func(s *scene) {
			s.done(5, "w", 1, 1)
			s.list(quick)
		},
		"its transaction was rolled back": func(s *scene) {
			s.send(0, quick)
			s.at(1, "p", history.Event{What: history.RolledBack, Key: "p/1"})
			s.done(5, "w", 1, 1)
			s.list(quick)
		},
		"its enqueue was said not to have happened": func(s *scene) {
			s.send(0, quick)
			s.at(1, "p", history.Event{What: history.Failed, Key: "p/1"})
			s.done(5, "w", 1, 1)
			s.list(quick)
		},
		"its sequence was said not to have happened": func(s *scene) {
			s.at(0, "p", history.Event{What: history.Send, Key: "p/1", Kind: "quick", Count: 1})
			s.at(1, "p", history.Event{What: history.Failed, Key: "p/1"})
			s.done(5, "w", 1, 1)
			s.list(history.Job{ID: 1, Kind: "quick", Key: "p/1/0", State: offstage.Completed, Run: 1})
		},
		"two jobs of an enqueue whose answer was lost": func(s *scene) {
			s.send(0, quick)
			s.at(1, "p", history.Event{What: history.Unknown, Key: "p/1"})
			s.done(5, "w", 1, 1)
			s.done(5, "w", 2, 1)
			s.list(quick)
			s.list(history.Job{ID: 2, Kind: "quick", Key: "p/1", State: offstage.Completed, Run: 1})
		},
	}.run(t, phantom)
}

func TestTorn(t *testing.T) {
	cases{"a part of a sequence whose answer was lost": func(s *scene) {
		s.at(0, "p", history.Event{What: history.Send, Key: "p/1", Kind: "quick", Count: 2})
		s.done(5, "w", 1, 1)
		s.list(history.Job{ID: 1, Kind: "quick", Key: "p/1/0", State: offstage.Completed, Run: 1})
	}}.run(t, torn)
}

func TestStuck(t *testing.T) {
	cases{"its answer was lost, it exists and waits": func(s *scene) {
		s.send(0, quick)
		s.list(history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Ready})
	}}.run(t, stuck)
}

func TestPairs(t *testing.T) {
	paired := history.Job{ID: 1, Kind: "paired", Key: "p/1", State: offstage.Completed, Run: 1}
	cases{
		"a job without the row": func(s *scene) {
			s.sent(0, paired)
			s.done(5, "w", 1, 1)
			s.list(paired)
		},
		"a row without the job": func(s *scene) {
			s.send(0, paired)
			s.listing.Pairs["p/1"] = 1
		},
		"a row of a transaction that was rolled back": func(s *scene) {
			s.send(0, paired)
			s.at(1, "p", history.Event{What: history.RolledBack, Key: "p/1"})
			s.listing.Pairs["p/1"] = 1
		},
		"a row that nobody sent": func(s *scene) { s.listing.Pairs["p/7"] = 1 },
	}.run(t, pairBroken)
}

func TestEffects(t *testing.T) {
	effect := history.Job{ID: 1, Kind: "effect", Key: "p/1", State: offstage.Completed, Run: 1}
	cases{
		"completed without the row": func(s *scene) {
			s.sent(0, effect)
			s.done(5, "w", 1, 1)
			s.list(effect)
		},
		"a row without the completion": func(s *scene) {
			s.sent(0, effect)
			s.start(5, "w", 1, 1)
			s.end(6, "w", 1, 1, history.Error)
			s.list(history.Job{ID: 1, Kind: "effect", Key: "p/1", State: offstage.Failed, Run: 1, Errors: 1,
				Attempts: attempts(offstage.Failed, errored)})
			s.listing.Effects[1] = 1
		},
	}.run(t, effectBroken)
	cases{"two rows": func(s *scene) {
		s.sent(0, effect)
		s.done(5, "w", 1, 1)
		s.list(effect)
		s.listing.Effects[1] = 2
	}}.run(t, finishedTwice)
}

func TestFinishedTwice(t *testing.T) {
	twice := history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Completed, Run: 2,
		Attempts: attempts(offstage.Completed, gone, completed)}
	cases{
		"two workers recorded an end": func(s *scene) {
			s.sent(0, quick)
			s.start(5, "w", 1, 1)
			s.end(6, "w", 1, 1, history.OK)
			s.mark(40, "w", 1, 1, offstage.Completed)
			s.done(20, "v", 1, 2)
			s.list(twice)
		},
		"two ends in the store": func(s *scene) {
			s.sent(0, quick)
			s.done(5, "w", 1, 2)
			job := twice
			job.Attempts = attempts(offstage.Completed, completed, completed)
			job.Attempts[0].Next = offstage.Completed
			s.list(job)
		},
	}.run(t, finishedTwice)
	cases{"it started again after its end": func(s *scene) {
		s.sent(0, quick)
		s.done(5, "w", 1, 1)
		s.start(50, "v", 1, 2)
		s.end(51, "v", 1, 2, history.OK)
		s.list(quick)
	}}.run(t, finishedTwice, unrecorded)
}

func TestHollow(t *testing.T) {
	cases{
		"completed, though its handler failed": func(s *scene) {
			s.sent(0, quick)
			s.start(5, "w", 1, 1)
			s.end(6, "w", 1, 1, history.Error)
			s.list(quick)
		},
		"completed, though its handler never returned": func(s *scene) {
			s.sent(0, quick)
			s.start(5, "w", 1, 1)
			s.list(quick)
		},
		"completed, though it was never started": func(s *scene) {
			s.sent(0, quick)
			s.list(quick)
		},
	}.run(t, hollow)
}

func TestUnrecorded(t *testing.T) {
	cases{
		"a gap in its history": func(s *scene) {
			s.sent(0, quick)
			s.done(5, "w", 1, 2)
			job := history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Completed, Run: 2}
			job.Attempts = []history.Attempt{{Run: 2, Outcome: completed, Next: offstage.Completed}}
			s.list(job)
		},
		"several runs and no history": func(s *scene) {
			s.sent(0, quick)
			s.done(5, "w", 1, 2)
			s.list(history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Completed, Run: 2})
		},
	}.run(t, unrecorded)
}

func TestContradictions(t *testing.T) {
	cases{
		"an end of a run that was not started": func(s *scene) {
			s.sent(0, quick)
			s.done(5, "w", 1, 1)
			s.list(quick)
			s.end(7, "v", 1, 1, history.OK)
		},
		"an acknowledgement of what was not sent": func(s *scene) {
			s.at(1, "p", history.Event{What: history.Ack, Key: "p/1", Job: 1})
			s.done(5, "w", 1, 1)
			s.list(quick)
		},
	}.run(t, wrongWitness)
	cases{"an enqueue that was refused": func(s *scene) {
		s.send(0, quick)
		s.at(1, "p", history.Event{What: history.Refused, Key: "p/1", Note: "args"})
	}}.run(t, refused)
}

// The JSON's first fields are what others read.
func TestReportJSON(t *testing.T) {
	s := newScene()
	s.sent(0, quick)
	s.rules.Seed = 7
	text, err := json.Marshal(s.check())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"acked":1,"unknown":0,"completed":0,"lost":1,"phantom":0,"finished_twice":0,"overlaps":0,` +
		`"unique_violations":0,"attempts_over":0,"recovery_ms":{"p50":0,"p99":0,"max":0},"faults":{},"seed":7,`
	if !strings.HasPrefix(string(text), want) {
		t.Errorf("the JSON is %s, want it to begin with %s", text, want)
	}
}
