package checker

import (
	"fmt"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// twoRuns is a job whose first worker was killed at 100 ms and whose second run
// completes, with what each run did meanwhile.
func (s *scene) twoRuns(first, second func(note func(ms int64, what history.What, name string, count int))) {
	job := history.Job{ID: 1, Kind: "stepped", Key: "p/1", State: offstage.Completed, Run: 2, Lost: 1,
		Attempts: attempts(offstage.Completed, gone, completed)}
	s.sent(0, job)
	for i, does := range []func(func(int64, history.What, string, int)){first, second} {
		run, w := i+1, fmt.Sprint("w", i+1)
		s.start(int64(5+i*1000), w, 1, run)
		does(func(ms int64, what history.What, name string, count int) {
			s.at(ms, w, history.Event{What: what, Job: 1, Run: run, Note: name, Count: count})
		})
	}
	s.fault(100, 101, "kill-worker", "w1", history.Kills)
	s.died(101, "w1")
	s.end(2000, "w2", 1, 2, history.OK)
	s.mark(2001, "w2", 1, 2, offstage.Completed)
	s.list(job)
}

type noting = func(ms int64, what history.What, name string, count int)

func TestSteps(t *testing.T) {
	kept := func(note noting) {
		note(10, history.Do, "first", 0)
		note(20, history.Kept, "first", 0)
		note(30, history.Found, "rows", 0)
		note(40, history.Kept, "rows", 2)
	}
	cases{
		"done again though its result was stored": func(s *scene) {
			s.twoRuns(kept, func(note noting) { note(1010, history.Do, "first", 0) })
		},
		"a loop that begins before where it was saved": func(s *scene) {
			s.twoRuns(kept, func(note noting) { note(1010, history.Found, "rows", 1) })
		},
		"twice in one run": func(s *scene) {
			s.twoRuns(kept, func(note noting) {
				note(1010, history.Do, "last", 0)
				note(1020, history.Kept, "last", 0)
				note(1030, history.Do, "last", 0)
			})
		},
	}.run(t, stepTwice)
	cases{
		"goes on after a death": func(s *scene) {
			s.twoRuns(kept, func(note noting) { note(1010, history.Found, "rows", 2) })
		},
		"begun, and its result not known to be stored": func(s *scene) {
			s.twoRuns(func(note noting) { note(10, history.Do, "first", 0) },
				func(note noting) { note(1010, history.Do, "first", 0) })
		},
		"a loop that was saved once more than was known": func(s *scene) {
			s.twoRuns(kept, func(note noting) { note(1010, history.Found, "rows", 3) })
		},
		"a run that is over does what a later one has done": func(s *scene) {
			s.twoRuns(func(note noting) { note(99, history.Do, "last", 0) },
				func(note noting) { note(50, history.Kept, "last", 0) })
		},
	}.run(t)
}

func TestSignals(t *testing.T) {
	waits := func(payload string) func(noting) {
		return func(note noting) {
			if payload != "" {
				note(1500, history.Got, payload, 0)
			}
		}
	}
	signal := func(s *scene, ms int64, what history.What, payload string) {
		s.at(ms, "p", history.Event{What: what, Key: "p/1", Note: payload})
	}
	nothing := func(noting) {}
	cases{
		"acknowledged, and another came": func(s *scene) {
			signal(s, 50, history.SignalSend, "p")
			signal(s, 51, history.SignalAck, "p")
			signal(s, 1400, history.SignalSend, history.Late)
			signal(s, 1401, history.SignalAck, history.Late)
			s.twoRuns(nothing, waits(history.Late))
		},
		"completed without one": func(s *scene) {
			signal(s, 50, history.SignalSend, "p")
			signal(s, 51, history.SignalAck, "p")
			s.twoRuns(nothing, waits(""))
		},
	}.run(t, signalLost)
	cases{
		"came": func(s *scene) {
			signal(s, 50, history.SignalSend, "p")
			signal(s, 51, history.SignalAck, "p")
			s.twoRuns(nothing, waits("p"))
		},
		"came though its answer was lost": func(s *scene) {
			signal(s, 50, history.SignalSend, "p")
			signal(s, 1400, history.SignalSend, history.Late)
			signal(s, 1401, history.SignalAck, history.Late)
			s.twoRuns(nothing, waits("p"))
		},
	}.run(t)
	nap := func(woke int64) func(*scene) {
		return func(s *scene) {
			s.at(10, "w1", history.Event{What: history.Nap, Job: 1, Run: 1, Wait: 1100})
			s.twoRuns(nothing, func(note noting) { note(woke, history.Woke, "", 0) })
		}
	}
	cases{"woken too early": nap(1050)}.run(t, early)
	cases{"woken in time": nap(1110)}.run(t)
}

func TestTicks(t *testing.T) {
	chime := func(s *scene, seconds ...int) {
		for i, at := range seconds {
			id := offstage.ID(i + 1)
			s.done(int64(at*1000), "w", id, 1)
			s.list(history.Job{ID: id, Kind: "second", State: offstage.Completed, Run: 1, Schedule: "s", Tick: time.Unix(int64(at), 0)})
		}
	}
	healed := func(s *scene, at int64) {
		s.at(9000, "parent", history.Event{What: history.Healed, Wall: at * int64(time.Second)})
	}
	cases{"one twice": func(s *scene) { chime(s, 1, 2, 2, 3) }}.run(t, tickTwice)
	cases{
		"a second without one":       func(s *scene) { chime(s, 1, 2, 4) },
		"none after the faults' end": func(s *scene) { chime(s, 1, 2, 3); healed(s, 4) },
	}.run(t, tickLost)
	cases{"one each second": func(s *scene) { chime(s, 1, 2, 3, 4); healed(s, 4) }}.run(t)
}
