package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
)

// load takes in the results that an earlier run wrote as JSON. Scenarios that
// are here already are replaced.
func (r *results) load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var saved struct {
		Machine   machine                       `json:"machine"`
		Servers   map[string]map[string]string  `json:"servers"`
		Settings  map[string]string             `json:"settings"`
		Scenarios map[string]map[string]*result `json:"scenarios"`
		Skipped   map[string]string             `json:"skipped"`
		Failures  map[string]string             `json:"failures"`
	}
	if err := json.Unmarshal(text, &saved); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.machine = saved.Machine
	maps.Copy(r.servers, saved.Servers)
	maps.Copy(r.stated, saved.Settings)
	maps.Copy(r.skipped, saved.Skipped)
	maps.Copy(r.failures, saved.Failures)
	all, err := plan(systems, nil)
	if err != nil {
		return err
	}
	maps.Copy(r.found, saved.Scenarios)
	r.order = nil
	for _, t := range all {
		if r.found[t.key] != nil {
			r.tasks[t.key] = t
			r.order = append(r.order, t.key)
		}
	}
	return nil
}
