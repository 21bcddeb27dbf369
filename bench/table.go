package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// writeTable writes the results for people.
func (r *results) writeTable(out io.Writer) error {
	r.finish()
	m := r.machine
	fmt.Fprintf(out, "%s, %d cores, %s, %s, kernel %s, %s, %.0f fsync/s\n", m.CPU, m.Cores, m.Memory, m.OS, m.Kernel, m.Go, m.Sync)
	for _, server := range slices.Sorted(maps.Keys(r.servers)) {
		fmt.Fprintf(out, "%s:", server)
		for _, name := range slices.Sorted(maps.Keys(r.servers[server])) {
			fmt.Fprintf(out, " %s=%s", name, r.servers[server][name])
		}
		fmt.Fprintln(out)
	}
	for _, name := range slices.Sorted(maps.Keys(r.stated)) {
		fmt.Fprintf(out, "%s: %s\n", name, r.stated[name])
	}
	for _, key := range r.order {
		if err := r.writeScenario(out, key); err != nil {
			return err
		}
	}
	for _, what := range slices.Sorted(maps.Keys(r.skipped)) {
		fmt.Fprintf(out, "skipped: %s: %s\n", what, r.skipped[what])
	}
	for _, what := range slices.Sorted(maps.Keys(r.failures)) {
		fmt.Fprintf(out, "failed: %s: %s\n", what, r.failures[what])
	}
	if len(r.order) == 0 {
		return errNoResults
	}
	return nil
}

func (r *results) writeScenario(out io.Writer, key string) error {
	t := r.tasks[key]
	fmt.Fprintf(out, "\n%s: %s, %s\n", key, t.what, t.unit)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "system\tmedian\tspread\tp95\tp99\tmax\t× offstage\t× floor\tCPU µs/job\tRSS MB\tcalibration ms\tremarks\t")
	for _, s := range t.systems {
		one := r.found[key][s.name]
		if one == nil {
			continue
		}
		spread := figure(one.Least) + "–" + figure(one.Most)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", s.name, figure(one.Median), spread,
			some(one.P95), some(one.P99), some(one.Max), some(one.OfOffstage), some(one.OfFloor), some(one.CPU), some(one.RSS),
			one.speeds(), one.remarks())
	}
	return table.Flush()
}

// speeds are the calibrations before each round.
func (one *result) speeds() string {
	var all []string
	for _, d := range one.Details {
		all = append(all, fmt.Sprintf("%.0f", d.Speed))
	}
	return strings.Join(all, " ")
}

// remarks are the particulars of the last round.
func (one *result) remarks() string {
	last := one.Details[len(one.Details)-1]
	var all []string
	if last.Cut {
		all = append(all, "time was up")
	}
	for _, name := range slices.Sorted(maps.Keys(last.More)) {
		all = append(all, fmt.Sprintf("%s %s", strings.ReplaceAll(name, "_", " "), figure(last.More[name])))
	}
	return strings.Join(all, "; ")
}

// some is figure, but nothing for zero.
func some(v float64) string {
	if v == 0 {
		return ""
	}
	return figure(v)
}

// figure writes a number with as many digits as people read.
func figure(v float64) string {
	switch {
	case v >= 100:
		return thousands(fmt.Sprintf("%.0f", v))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// thousands puts commas between groups of three digits.
func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
