package plan

import (
	"reflect"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	if got, err := Parse("", false); err != nil || len(got) != 5 {
		t.Errorf("no list on SQLite is %v, %v; want the five faults of processes", got, err)
	}
	got, err := Parse("pg-kill9,kill-worker,pg-kill9", true)
	if want := []string{PgKill9, KillWorker}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if got, err := Parse("pg-kill9", false); err == nil {
		t.Errorf("SQLite was given %v, want an error", got)
	}
	if got, err := Parse("kill-worker,", false); err == nil {
		t.Errorf("an empty name gave %v, want an error", got)
	}
}

func TestCounts(t *testing.T) {
	for _, c := range []struct {
		faults []string
		n      int
		want   map[string]int
	}{
		{[]string{KillWorker}, 300, map[string]int{KillWorker: 300}},
		{[]string{KillWorker, KillLeader, KillProducer}, 300, map[string]int{KillWorker: 150, KillLeader: 75, KillProducer: 75}},
		{[]string{KillWorker, KillLeader}, 10, map[string]int{KillWorker: 6, KillLeader: 4}},
		{[]string{KillWorker, StopCont}, 30, map[string]int{KillWorker: 30, StopCont: 3}},
		{[]string{KillWorker, StopCont}, 1, map[string]int{KillWorker: 1, StopCont: 1}},
		{[]string{PgKill9, PgRestart, PgTerminate}, 100, map[string]int{PgKill9: 33, PgRestart: 33, PgTerminate: 34}},
		{[]string{TermDeploy}, 200, map[string]int{TermDeploy: 200}},
		{[]string{PgKill9, PgRestart}, 0, map[string]int{PgKill9: 1, PgRestart: 1}},
	} {
		if got := Counts(c.faults, c.n); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d among %v: %v, want %v", c.n, c.faults, got, c.want)
		}
	}
}

func TestPlanComesFromTheSeed(t *testing.T) {
	counts := Counts(Faults(true), 40)
	first, again, other := Make(counts, time.Minute, 1), Make(counts, time.Minute, 1), Make(counts, time.Minute, 2)
	if !reflect.DeepEqual(first, again) {
		t.Error("two plans of one seed differ")
	}
	if reflect.DeepEqual(first, other) {
		t.Error("plans of two seeds are the same")
	}
	struck := map[string]int{}
	var span time.Duration
	for _, s := range first {
		struck[s.Fault]++
		span += s.After
	}
	if !reflect.DeepEqual(struck, counts) {
		t.Errorf("the plan strikes %v, want %v", struck, counts)
	}
	if span < 30*time.Second || span > 90*time.Second {
		t.Errorf("the plan for a minute takes %s", span)
	}
}
