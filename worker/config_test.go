package worker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

func TestConfigMistakesNameTheField(t *testing.T) {
	one := func(pool Pool) Config { return Config{Pools: []Pool{{Queues: []string{"a"}}, pool}} }
	cases := []struct {
		config Config
		field  string
		says   string
	}{
		{Config{Lease: 100 * time.Millisecond}, "lease", "200ms"},
		{Config{Beat: 2 * time.Second}, "beat", "1.6"},
		{Config{Beat: -1}, "beat", "third"},
		{Config{Middleware: []Middleware{nil}}, "middleware[0]", "nil"},
		{Config{Carriers: []offstage.Carrier{nil}}, "carriers[0]", "nil"},
		{one(Pool{}), "pools[1].queues", "0 queues"},
		{one(Pool{Queues: []string{"a b"}}), "pools[1].queues", "' '"},
		{one(Pool{Queues: []string{"a", "a"}}), "pools[1].queues", "twice"},
		{one(Pool{Queues: []string{"a"}, Slots: -1}), "pools[1].slots", "100000"},
		{one(Pool{Queues: []string{"a"}, Order: 7}), "pools[1].order", "Strict, Weighted"},
		{one(Pool{Queues: []string{"a"}, Weights: []int{1}}), "pools[1].weights", "Weighted"},
		{one(Pool{Queues: []string{"a", "b"}, Order: Weighted, Weights: []int{1}}), "pools[1].weights", "1 weights for 2"},
		{one(Pool{Queues: []string{"a"}, Order: Weighted, Weights: []int{0}}), "pools[1].weights", "1000"},
	}
	for _, c := range cases {
		_, err := New(offstagetest.NewStore(), c.config)
		var bad *offstage.InvalidError
		if !errors.As(err, &bad) || bad.Field != c.field || !strings.Contains(bad.Problem, c.says) {
			t.Errorf("%+v: error %v; want one of field %q that says %q", c.config, err, c.field, c.says)
		}
	}
	if _, err := New(nil, Config{}); err == nil {
		t.Error("New takes a nil store")
	}
}

func TestDefaults(t *testing.T) {
	config := Config{Lease: 10 * time.Second, Pools: []Pool{{Queues: []string{"a", "b"}, Order: Weighted}}}.withDefaults()
	if config.Beat != 2*time.Second || config.Grace != DefaultGrace || config.Name == "" || config.Logger == nil {
		t.Errorf("defaults %+v", config)
	}
	if p := config.Pools[0]; p.Slots != DefaultSlots || p.Name != "[a b]" || len(p.Weights) != 2 {
		t.Errorf("pool %+v", p)
	}
	if config := (Config{}).withDefaults(); config.validate() != nil || config.Beat != time.Second || config.Pools[0].Queues[0] != offstage.DefaultQueue {
		t.Errorf("the zero value becomes %+v", config)
	}
}

func TestTurnsGiveEachQueueItsShare(t *testing.T) {
	pool := Pool{Queues: []string{"a", "b", "c"}, Order: Weighted, Weights: []int{6, 3, 1}}
	for _, slots := range []int{1, 2, 3, 10, 1000} {
		got, rounds := map[string]int{}, 2000
		for range rounds {
			total := 0
			for _, request := range pool.turns(slots) {
				if request.Slots < 1 || len(request.Queues) != 3 {
					t.Fatalf("request %+v", request)
				}
				total += request.Slots
				got[request.Queues[0]] += request.Slots
			}
			if total != slots {
				t.Fatalf("%d slots were asked for; want %d", total, slots)
			}
		}
		share := float64(got["a"]) / float64(got["c"])
		if slots == 1 || slots >= 10 {
			if share < 4 || share > 9 {
				t.Errorf("%d slots: a has %.1f times the share of c; want about 6", slots, share)
			}
		}
	}
}

func TestHandlePanicsOnMistakes(t *testing.T) {
	fine := func(context.Context, *offstage.Job[task]) error { return nil }
	cases := map[string]struct {
		register func(w *Worker)
		says     string
	}{
		"twice":       {func(w *Worker) { Handle(w, fine); Handle(w, fine) }, "already"},
		"nil":         {func(w *Worker) { Handle[task](w, nil) }, "nil"},
		"nil result":  {func(w *Worker) { HandleResult[task, int](w, nil) }, "nil"},
		"bad kind":    {func(w *Worker) { HandleNamed(w, "a b", fine) }, "' '"},
		"bad timeout": {func(w *Worker) { Handle(w, fine, Timeout(0)) }, "timeout"},
		"bad policy":  {func(w *Worker) { Handle(w, fine, Retry(offstage.RetryPolicy{MaxAttempts: -1})) }, "attempts"},
		"too late": {func(w *Worker) {
			w.Stop(false)
			if err := w.Run(context.Background()); err != nil {
				panic(err)
			}
			Handle(w, fine)
		}, "runs already"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, err := New(offstagetest.NewStore(), Config{})
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

type pointed struct{}

func (p *pointed) Kind() string {
	if p == nil {
		panic("asked a nil pointer")
	}
	return "pointed"
}

func TestKindsOfPointersAndRawArgs(t *testing.T) {
	if kind := kindOf[*pointed](); kind != "pointed" {
		t.Errorf("kind %q", kind)
	}
	raw := json.RawMessage(` { "a" : 1e400 } `)
	job, err := decode[json.RawMessage](&offstage.Job[json.RawMessage]{Args: raw})
	if err != nil || string(job.Args) != string(raw) {
		t.Errorf("raw arguments became %s, %v", job.Args, err)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\x00b": "a\uFFFDb", "\xff\xfe": "\uFFFD", "äöü": "äöü",
		strings.Repeat("x", 20): strings.Repeat("x", 7) + "…", strings.Repeat("ä", 20): "äää…",
	} {
		if got := clean(text, 10); got != want {
			t.Errorf("clean(%q) is %q; want %q", text, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00\xffä", 7)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 3 || limit > 1000 {
			return
		}
		got := clean(text, limit)
		if !utf8.ValidString(got) || strings.ContainsRune(got, 0) || len(got) > limit {
			t.Errorf("clean(%q, %d) is %q", text, limit, got)
		}
	})
}
