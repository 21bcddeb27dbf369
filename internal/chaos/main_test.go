//go:build linux

package main

import (
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage/internal/chaos/plan"
)

// TestMain is also the main function of the processes that a campaign starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		os.Exit(child(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// A small campaign, of processes that this test's flags hold for as well, is
// clean, and leaves no goroutine behind.
func TestASmallCampaign(t *testing.T) {
	cfg, err := parse([]string{"--kills", "3", "--for", "3s", "--rate", "40", "--json", "--seed", "5", "--dir", t.TempDir(),
		"--faults", "kill-worker,kill-producer,term-deploy"})
	if err != nil {
		t.Fatal(err)
	}
	_, report, err := runCampaign(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Violations {
		t.Errorf("%+v", v)
	}
	if report.Completed == 0 || report.Faults[plan.KillWorker] == 0 {
		t.Errorf("it proves nothing: %+v", report)
	}
}

func TestFlags(t *testing.T) {
	cfg, err := parse([]string{"--store", "postgres", "--kills", "8", "--faults", "kill-worker,pg-cut-commit", "--unknown", "7"})
	if want := map[string]int{plan.KillWorker: 8, plan.PgCutCommit: 1}; err != nil || !maps.Equal(cfg.counts, want) || cfg.span != 9*1500*time.Millisecond || cfg.seed == 0 {
		t.Errorf("%+v, %v", cfg, err)
	}
	if rules := cfg.rules(); rules.Faults[cutEnqueue] != 7 || rules.Faults[cutFinish] != 7 || rules.Faults[plan.KillWorker] != 8 {
		t.Errorf("the rules are %+v", rules)
	}
	for args, says := range map[string]string{
		"--store mysql":      "neither sqlite nor postgres",
		"--faults pg-kill9":  "is not a fault of this store",
		"--workers 2":        "at least 3 workers",
		"--kills 3 too many": "no arguments",
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", args, err, says)
		}
	}
}
