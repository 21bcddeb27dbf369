package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestJSON holds the form that readers of the results rely on.
func TestJSON(t *testing.T) {
	r := newResults()
	drain := task{key: "drain", scenario: &scenario{unit: "jobs/s"}}
	for _, value := range []float64{100, 300, 200} {
		r.add(drain, &system{name: "offstage"}, run{Value: value, P99: 4})
		r.add(drain, &system{name: "river"}, run{Value: value / 4, P99: 8})
	}
	r.add(drain, &system{name: "floor"}, run{Value: 400})
	var out bytes.Buffer
	if err := r.writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scenarios map[string]map[string]struct {
			Median float64   `json:"median"`
			Runs   []float64 `json:"runs"`
		} `json:"scenarios"`
		Ratios map[string]float64 `json:"ratios"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	own := got.Scenarios["drain"]["offstage"]
	if own.Median != 200 || !slices.Equal(own.Runs, []float64{100, 300, 200}) {
		t.Errorf("offstage: %+v", own)
	}
	want := map[string]float64{"drain/river": 4, "drain/floor": 0.5, "drain/river/p99": 0.5}
	if !maps.Equal(got.Ratios, want) {
		t.Errorf("ratios are %v, want %v", got.Ratios, want)
	}
}

func TestPlan(t *testing.T) {
	found, err := chosen([]string{"offstage", "river-defaults"})
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := plan(found, []string{"drain", "sqlite/insert1"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range tasks {
		for _, s := range task.systems {
			got = append(got, task.key+" "+s.id())
		}
	}
	want := "drain postgres/offstage, drain postgres/river-defaults, sqlite/insert1 sqlite/offstage"
	if strings.Join(got, ", ") != want {
		t.Errorf("the plan is %q, want %q", got, want)
	}
	if _, err := plan(found, []string{"nothing"}); err == nil {
		t.Error("a scenario that is not there was planned")
	}
	if _, err := chosen([]string{"nobody"}); err == nil {
		t.Error("a system that is not there was chosen")
	}
}

// A quick run ends when its time is up: by then it has to have what matters most, of
// both stores. A full one measures side by side what is compared.
func TestQuickRunsBeginWithTheCore(t *testing.T) {
	order := func(o options) string {
		o.systems, o.only = "offstage", "drain,queues50,held,sqlite/drain"
		b, err := newBench(o)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, task := range b.tasks {
			keys = append(keys, task.key)
		}
		return strings.Join(keys, " ")
	}
	if got, want := order(options{quick: true}), "drain held sqlite/drain queues50"; got != want {
		t.Errorf("a quick run measures %s, want %s", got, want)
	}
	if got, want := order(options{}), "drain queues50 held sqlite/drain"; got != want {
		t.Errorf("a full run measures %s, want %s", got, want)
	}
}

func TestPercentile(t *testing.T) {
	sorted := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if p := percentile(sorted, 0.5); p != 6 {
		t.Errorf("the half is %v", p)
	}
	if p := percentile(sorted, 0.99); p != 10 {
		t.Errorf("the 99th is %v", p)
	}
	if m := median([]float64{9, 1, 4, 6}); m != 5 {
		t.Errorf("the median is %v", m)
	}
}
