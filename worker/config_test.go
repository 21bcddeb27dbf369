package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestConfigMistakesNameTheField(t *testing.T) {
	one := func(pool worker.Pool) worker.Config {
		return worker.Config{Pools: []worker.Pool{{Queues: []string{"a"}}, pool}}
	}
	cases := []struct {
		config worker.Config
		field  string
		says   string
	}{
		{worker.Config{Lease: 100 * time.Millisecond}, "lease", "200ms"},
		{worker.Config{Beat: 2 * time.Second}, "beat", "1.6"},
		{worker.Config{Beat: -1}, "beat", "third"},
		{worker.Config{Middleware: []worker.Middleware{nil}}, "middleware[0]", "nil"},
		{worker.Config{Carriers: []offstage.Carrier{nil}}, "carriers[0]", "nil"},
		{one(worker.Pool{}), "pools[1].queues", "0 queues"},
		{one(worker.Pool{Queues: []string{"a b"}}), "pools[1].queues", "' '"},
		{one(worker.Pool{Queues: []string{"a", "a"}}), "pools[1].queues", "twice"},
		{one(worker.Pool{Queues: []string{"a"}, Slots: -1}), "pools[1].slots", "100000"},
		{one(worker.Pool{Queues: []string{"a"}, Order: 7}), "pools[1].order", "Strict, Weighted"},
		{one(worker.Pool{Queues: []string{"a"}, Weights: []int{1}}), "pools[1].weights", "Weighted"},
		{one(worker.Pool{Queues: []string{"a", "b"}, Order: worker.Weighted, Weights: []int{1}}), "pools[1].weights", "1 weights for 2"},
		{one(worker.Pool{Queues: []string{"a"}, Order: worker.Weighted, Weights: []int{0}}), "pools[1].weights", "1000"},
	}
	for _, c := range cases {
		_, err := worker.New(offstagetest.NewStore(), c.config)
		var bad *offstage.InvalidError
		if !errors.As(err, &bad) || bad.Field != c.field || !strings.Contains(bad.Problem, c.says) {
			t.Errorf("%+v: error %v; want one of field %q that says %q", c.config, err, c.field, c.says)
		}
	}
	if _, err := worker.New(nil, worker.Config{}); err == nil {
		t.Error("New takes a nil store")
	}
}

func TestHandlePanicsOnMistakes(t *testing.T) {
	fine := func(context.Context, *offstage.Job[task]) error { return nil }
	cases := map[string]struct {
		register func(w *worker.Worker)
		says     string
	}{
		"twice":       {func(w *worker.Worker) { worker.Handle(w, fine); worker.Handle(w, fine) }, "already"},
		"nil":         {func(w *worker.Worker) { worker.Handle[task](w, nil) }, "nil"},
		"nil result":  {func(w *worker.Worker) { worker.HandleResult[task, int](w, nil) }, "nil"},
		"bad kind":    {func(w *worker.Worker) { worker.HandleNamed(w, "a b", fine) }, "' '"},
		"bad timeout": {func(w *worker.Worker) { worker.Handle(w, fine, worker.Timeout(0)) }, "timeout"},
		"bad policy":  {func(w *worker.Worker) { worker.Handle(w, fine, worker.Retry(offstage.RetryPolicy{MaxAttempts: -1})) }, "attempts"},
		"too late": {func(w *worker.Worker) {
			w.Stop(false)
			if err := w.Run(context.Background()); err != nil {
				panic(err)
			}
			worker.Handle(w, fine)
		}, "runs already"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, err := worker.New(offstagetest.NewStore(), worker.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, c.says) {
					t.Errorf("panic %q; want one that says %q", text, c.says)
				}
			}()
			c.register(w)
		})
	}
}
