package worker

import (
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

func TestObserver(t *testing.T) {
	// Beats of the observer, a second apart unless it is late; each shows the
	// peer's counter. A negative counter is a beat that failed.
	type beat struct {
		after   time.Duration
		counter int64
	}
	every := func(counters ...int64) (beats []beat) {
		for _, counter := range counters {
			beats = append(beats, beat{time.Second, counter})
		}
		return beats
	}
	cases := []struct {
		name  string
		beats []beat
		dead  bool
	}{
		{"lives", every(1, 2, 3, 4, 5, 6, 7, 8), false},
		{"counts backwards after a crash of the server", every(5, 4, 3, 2, 1, 9, 8, 7), false},
		{"stands still for a lease", every(7, 7, 7, 7, 7, 7), true},
		{"stands still for less", every(7, 7, 7, 7, 7), false},
		{"moves at the last moment", every(7, 7, 7, 7, 7, 8), false},
		{"an own beat failed meanwhile", every(7, 7, 7, -1, 7, 7, 7, 7, 7), false},
		{"and then a whole lease", every(7, 7, 7, -1, 7, 7, 7, 7, 7, 7), true},
		{"the observer was late", append(every(7, 7, 7), beat{3 * time.Second, 7}, beat{time.Second, 7}), false},
		{"the observer was a little late", append(every(7, 7, 7), beat{2 * time.Second, 7}, beat{time.Second, 7}), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := observer{lease: 5 * time.Second, beat: time.Second}
			at, dead := now(), false
			for _, beat := range c.beats {
				at = moment{mono: at.mono.Add(beat.after), wall: at.wall.Add(beat.after)}
				if beat.counter < 0 {
					o.restart()
					continue
				}
				dead = len(o.observe(at, at, []offstage.Peer{{ID: 2, Counter: beat.counter}})) > 0
			}
			if dead != c.dead {
				t.Errorf("dead %v; want %v", dead, c.dead)
			}
		})
	}
}

func TestObserverCountsFromTheAnswerToTheQuestion(t *testing.T) {
	o := observer{lease: 5 * time.Second, beat: time.Second}
	start := now()
	at := func(d time.Duration) moment {
		return moment{mono: start.mono.Add(d), wall: start.wall.Add(d)}
	}
	peer := []offstage.Peer{{ID: 2, Counter: 1}}
	for i := range time.Duration(6) { // each answer takes 900 ms
		if dead := o.observe(at(i*time.Second), at(i*time.Second+900*time.Millisecond), peer); len(dead) > 0 {
			t.Errorf("dead at second %d: the counter is known to stand still for less than a lease", i)
		}
	}
	if dead := o.observe(at(6*time.Second), at(6900*time.Millisecond), peer); len(dead) == 0 {
		t.Error("not dead after more than a lease")
	}
	if dead := o.observe(at(7*time.Second), at(7*time.Second), []offstage.Peer{{ID: 3, Dead: true}}); len(dead) != 1 {
		t.Error("a peer that is proved dead is not")
	}
}
