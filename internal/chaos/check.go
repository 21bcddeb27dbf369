//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/offstagehq/offstage/internal/chaos/checker"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

const rulesFile = "rules.json"

func saveRules(dir string, rules checker.Rules) error {
	text, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, rulesFile), text, 0o600)
}

// check reads a campaign's directory and holds it against the promises.
func check(dir string) ([]history.Event, *checker.Report, error) {
	var rules checker.Rules
	text, err := os.ReadFile(filepath.Join(dir, rulesFile))
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(text, &rules); err != nil {
		return nil, nil, err
	}
	events, err := history.Read(dir)
	if err != nil {
		return nil, nil, err
	}
	listing, err := history.LoadListing(dir)
	if err != nil {
		return nil, nil, err
	}
	return events, checker.Check(events, listing, rules), nil
}

// shown is of how many violations of a kind the history is printed.
const shown = 5

// printViolations prints what was broken, and of the first of each kind the
// history.
func printViolations(w io.Writer, report *checker.Report, events []history.Event) {
	printed := map[string]int{}
	for _, v := range report.Violations {
		if printed[v.What]++; printed[v.What] > shown {
			continue
		}
		fmt.Fprintf(w, "VIOLATION %s: job %d %s: %s\n", v.What, v.Job, v.Process, v.Text)
		for i := range events {
			if concerns(&events[i], v) {
				line, err := json.Marshal(events[i])
				if err != nil {
					line = []byte(err.Error())
				}
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
	}
	for what, n := range printed {
		if n > shown {
			fmt.Fprintf(w, "%d more of %s\n", n-shown, what)
		}
	}
}

// concerns reports whether an event is part of a violation's history: those of
// its job, and what befell its process.
func concerns(e *history.Event, v checker.Violation) bool {
	if v.Job != 0 && e.Job == v.Job {
		return true
	}
	life := e.What == history.Stopping || e.What == history.Stopped || e.What == history.Up
	return v.Process != "" && (e.Target == v.Process || life && e.Process == v.Process)
}
