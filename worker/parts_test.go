package worker

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
)

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

// A store may refuse a chore that is to do no rows.
func TestDutiesHaveLimits(t *testing.T) {
	for _, duty := range duties {
		if duty.limit < 1 {
			t.Errorf("%s is to do %d rows", duty.chore, duty.limit)
		}
	}
}
