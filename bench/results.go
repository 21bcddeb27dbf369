package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// results are what a run of the program has found.
type results struct {
	machine  machine
	servers  map[string]map[string]string
	stated   map[string]string // settings, by scenario group and system
	order    []string          // scenario keys as they came
	tasks    map[string]task
	found    map[string]map[string]*result // by scenario and system
	skipped  map[string]string
	failures map[string]string
	took     time.Duration
}

// result is what was found about one system in one scenario.
type result struct {
	Unit       string    `json:"unit"`
	Median     float64   `json:"median"`
	P95        float64   `json:"p95,omitempty"` // medians over the rounds, like P99
	P99        float64   `json:"p99,omitempty"`
	Max        float64   `json:"max,omitempty"`            // the greatest of all rounds
	Least      float64   `json:"min"`                      // the least round
	Most       float64   `json:"most"`                     // the greatest round
	OfOffstage float64   `json:"times_offstage,omitempty"` // Median as a multiple of Offstage's
	OfFloor    float64   `json:"times_floor,omitempty"`    // and of the floor's
	CPU        float64   `json:"cpu_us_per_job,omitempty"` // median
	RSS        float64   `json:"rss_mb,omitempty"`         // median
	Runs       []float64 `json:"runs"`
	Details    []run     `json:"details"`
}

func newResults() *results {
	return &results{
		servers: map[string]map[string]string{}, stated: map[string]string{}, tasks: map[string]task{},
		found: map[string]map[string]*result{}, skipped: map[string]string{}, failures: map[string]string{},
	}
}

// add takes in one measurement.
func (r *results) add(t task, s *system, got run) {
	of, known := r.found[t.key]
	if !known {
		of = map[string]*result{}
		r.found[t.key], r.tasks[t.key] = of, t
		r.order = append(r.order, t.key)
	}
	if of[s.name] == nil {
		of[s.name] = &result{Unit: t.unit}
	}
	of[s.name].Details = append(of[s.name].Details, got)
}

// settings notes what a system said of itself. Scenarios that leave the slots to
// the system have settings of their own.
func (r *results) settings(t task, s *system, stated string) {
	name, once := s.id(), r.stated[s.id()]
	if stated == "" || once == stated {
		return
	}
	if once != "" {
		name += " (" + t.key + ")"
	}
	r.stated[name] = stated
}

func (r *results) skip(what, why string)         { r.skipped[what] = why }
func (r *results) fail(what string, cause error) { r.failures[what] = cause.Error() }

// failure is an error if anything failed.
func (r *results) failure() error {
	if len(r.failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d measurements failed; see the output", len(r.failures))
}

// finish works out medians and multiples.
func (r *results) finish() {
	for _, of := range r.found {
		for _, one := range of {
			one.summarize()
		}
		for _, one := range of {
			one.OfOffstage, one.OfFloor = one.over(of["offstage"]), one.over(of["floor"])
		}
	}
}

func (one *result) summarize() {
	take := func(field func(run) float64) []float64 {
		values := make([]float64, len(one.Details))
		for i, d := range one.Details {
			values[i] = field(d)
		}
		return values
	}
	one.Runs = take(func(d run) float64 { return d.Value })
	one.Median, one.Least, one.Most = median(one.Runs), slices.Min(one.Runs), slices.Max(one.Runs)
	one.P95 = median(take(func(d run) float64 { return d.P95 }))
	one.P99 = median(take(func(d run) float64 { return d.P99 }))
	one.Max = slices.Max(take(func(d run) float64 { return d.Max }))
	one.CPU = median(take(func(d run) float64 { return d.CPU }))
	one.RSS = median(take(func(d run) float64 { return d.RSS }))
}

// over returns a median as a multiple of another; 0 if there is none.
func (one *result) over(other *result) float64 {
	if other == nil || other.Median == 0 {
		return 0
	}
	return one.Median / other.Median
}

// ratios are Offstage's medians as multiples of the others'. Where there are two
// settings of Offstage, a system at its defaults is also compared with Offstage
// at its own. Latencies are also compared by their p99; disturbed and deep
// scenarios with the plain one.
func (r *results) ratios() map[string]float64 {
	ratios := map[string]float64{}
	for key, of := range r.found {
		own, plain := of["offstage"], of["offstage-defaults"]
		for name, other := range of {
			if own != nil && name != "offstage" && other.Median != 0 {
				ratios[key+"/"+name] = own.over(other)
			}
			if own != nil && name != "offstage" && other.P99 != 0 {
				ratios[key+"/"+name+"/p99"] = own.P99 / other.P99
			}
			if plain != nil && name == "river-defaults" || plain != nil && name == "graphile-defaults" {
				ratios[key+"/offstage-defaults/"+name] = plain.over(other)
			}
		}
	}
	for key, base := range map[string]string{
		"held": "calm", "idletx": "calm", "backlog": "drain", "scheduled": "drain", "queues50": "drain", "rtt2ms": "drain",
	} {
		for _, prefix := range []string{"", "sqlite/"} {
			for name, one := range r.found[prefix+key] {
				if ratio := one.over(r.found[prefix+base][name]); ratio != 0 {
					ratios[fmt.Sprintf("%s%s/%s/%s", prefix, key, base, name)] = ratio
				}
			}
		}
	}
	return ratios
}

// writeJSON writes everything as one JSON object.
func (r *results) writeJSON(out io.Writer) error {
	r.finish()
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{
		"machine": r.machine, "servers": r.servers, "settings": r.stated, "scenarios": r.found, "ratios": r.ratios(),
		"skipped": r.skipped, "failures": r.failures, "seconds": r.took.Seconds(),
	})
}

// errNoResults means that nothing was measured.
var errNoResults = errors.New("nothing was measured")
