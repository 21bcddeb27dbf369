//go:build linux

package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestArguments(t *testing.T) {
	for args, says := range map[string]string{
		"--store mysql":          "is not one of sqlite, postgres",
		"--store sqlite nothing": "nothing",
		"--store sqlite outage":  "outage",
	} {
		if _, err := run(t.Context(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", args, err, says)
		}
	}
	all, err := choose(nil, postgresStore)
	if err != nil || len(all) != len(measurements) {
		t.Errorf("%d measurements on PostgreSQL, %v", len(all), err)
	}
}
