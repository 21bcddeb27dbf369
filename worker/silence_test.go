package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
)

var (
	answeredDown = &offstage.StoreError{Class: offstage.FaultDown, Op: "beat", Err: context.Canceled}
	answerLost   = &offstage.StoreError{Class: offstage.FaultUnknown, Op: "beat", Err: context.Canceled}
)

func TestSuspendedAndThenCutOffIsCancelledSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(Config{Lease: 5 * time.Second, Beat: time.Second}, now)
		var jump time.Duration
		l.clock = func() moment {
			at := now()
			at.wall = at.wall.Add(jump)
			return at
		}
		l.open(&session{id: 1}, l.clock())
		<-time.After(time.Second)
		jump = time.Hour
		if lost, beat, _ := l.silent(); lost || !beat {
			t.Errorf("just after the jump: lost %v, beat %v; want a beat to find out", lost, beat)
		}
		l.heard(l.clock(), answerLost)
		<-time.After(l.margin + time.Millisecond)
		if lost, _, _ := l.silent(); !lost {
			t.Error("no beat got through, yet the handlers go on")
		}
	})
}

func TestLeaseThroughOutages(t *testing.T) {
	// Each step is one beat, a second after the one before.
	cases := []struct {
		name  string
		beats []error
		lost  bool
	}{
		{"all well", []error{nil, nil, nil, nil, nil, nil}, false},
		{"silence", []error{answerLost, answerLost, answerLost, answerLost}, true},
		{"three are not enough", []error{answerLost, answerLost, answerLost}, false},
		{"down", []error{answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown}, false},
		{"broken, then down", []error{answerLost, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown}, false},
		{"a long outage, then slow to return", []error{answerLost, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answerLost}, false},
		{"silence, then down just in time", []error{answerLost, answerLost, answerLost, answeredDown}, false},
		{"one answer of down in a silence", []error{answerLost, answerLost, answeredDown, answerLost}, true},
		{"a long outage, then silence", []error{answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answeredDown, answerLost, answerLost, answerLost, answerLost}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLease(Config{Lease: 5 * time.Second, Beat: time.Second}, now)
				l.open(&session{id: 1}, l.clock())
				for _, answer := range c.beats {
					<-time.After(time.Second)
					l.heard(l.clock(), answer)
				}
				if lost, _, _ := l.silent(); lost != c.lost {
					t.Errorf("lost %v; want %v", lost, c.lost)
				}
			})
		})
	}
}
