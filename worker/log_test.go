package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// logged runs a handler that logs, and returns what was kept with its attempt.
func logged(t *testing.T, own *lines, handler func(ctx context.Context)) (kept []offstage.LogLine) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Logger: own.logger()})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			handler(ctx)
			return errors.New("over")
		})
		r.run()
		got := r.await(r.enqueue(task{}), offstage.Retrying)
		r.endWell()
		if got.Attempts[0].Log == nil {
			return
		}
		if err := json.Unmarshal(got.Attempts[0].Log, &kept); err != nil {
			t.Fatalf("%v in %s", err, got.Attempts[0].Log)
		}
	})
	return kept
}

func TestLogLinesAreKeptWithTheAttempt(t *testing.T) {
	var own lines
	kept := logged(t, &own, func(ctx context.Context) {
		log := offstage.Logger(ctx)
		log.Debug("too fine for the worker's log")
		log.Info("first", "n", 1)
		log.With("user", "ann").WithGroup("req").Warn("second", "path", "/a b", "msg", "own")
		log.Error("bad \x00\xff")
	})
	want := []offstage.LogLine{
		{Level: "INFO", Message: "first", Attrs: "n=1"},
		{Level: "WARN", Message: "second", Attrs: `user=ann req.path="/a b" req.msg=own`},
		{Level: "ERROR", Message: "bad \uFFFD\uFFFD"},
	}
	if len(kept) != len(want) {
		t.Fatalf("kept %+v", kept)
	}
	for i := range want {
		if kept[i].Time.IsZero() {
			t.Errorf("line %d has no time", i)
		}
		kept[i].Time = want[i].Time
		if kept[i] != want[i] {
			t.Errorf("line %d is %+v; want %+v", i, kept[i], want[i])
		}
	}
	for _, part := range []string{"msg=first job=1 kind=task attempt=1 n=1", `msg=second job=1 kind=task attempt=1 user=ann req.path="/a b"`} {
		if own.count(part) != 1 {
			t.Errorf("the worker's log has no line with %s: %q", part, own.all())
		}
	}
}

func TestOnlyTheFirstLinesAreKept(t *testing.T) {
	var own lines
	kept := logged(t, &own, func(ctx context.Context) {
		for range worker.MaxLogLines + 23 {
			offstage.Logger(ctx).Info("line")
		}
	})
	if n := len(kept); n != worker.MaxLogLines+1 || kept[n-1].Message != "23 more lines were dropped" {
		t.Errorf("%d lines, the last is %+v", len(kept), kept[len(kept)-1])
	}
	if n := own.count("msg=line"); n != worker.MaxLogLines+23 {
		t.Errorf("the worker's log has %d lines", n)
	}
	kept = logged(t, &own, func(ctx context.Context) {
		for range 10 {
			offstage.Logger(ctx).Info(strings.Repeat("x", 20_000))
		}
		offstage.Logger(ctx).Info("short")
	})
	if n := len(kept); n != 4 || kept[3].Message != "8 more lines were dropped" {
		t.Errorf("%d lines, the last is %.100s", len(kept), kept[len(kept)-1].Message)
	}
}

func TestNoLogIsNoLog(t *testing.T) {
	if kept := logged(t, &lines{}, func(context.Context) {}); kept != nil {
		t.Errorf("kept %+v", kept)
	}
}
