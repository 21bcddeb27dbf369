package offstage_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

type mail struct {
	To   string    `json:"to"`
	When time.Time `json:"when,omitzero"`
	Any  any       `json:"any,omitempty"`

	secret string
}

func (mail) Kind() string { return "mail" }

// sink is a store that keeps what it is given; everything else panics.
type sink struct {
	offstage.Store
	jobs []offstage.NewJob
}

func (s *sink) Insert(_ context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	s.jobs = append(s.jobs, jobs...)
	return make([]offstage.Inserted, len(jobs)), nil
}

func TestEnqueueRefusesWhatCannotBeKept(t *testing.T) {
	long := strings.Repeat("x", offstage.MaxName+1)
	cases := []struct {
		name    string
		args    offstage.Args
		options []offstage.Option
		field   string
		says    string
	}{
		{"nil args", nil, nil, "args", "nil"},
		{"empty kind", offstage.Named("", 1), nil, "kind", "empty"},
		{"long kind", offstage.Named(long, 1), nil, "kind", "100"},
		{"hostile kind", offstage.Named("a b", 1), nil, "kind", `' '`},
		{"empty queue", mail{}, []offstage.Option{offstage.InQueue("")}, "queue", "empty"},
		{"hostile queue", mail{}, []offstage.Option{offstage.InQueue("q\n")}, "queue", `'\n'`},
		{"priority below", mail{}, []offstage.Option{offstage.Priority(-1)}, "priority", "0"},
		{"priority above", mail{}, []offstage.Option{offstage.Priority(10)}, "priority", "9"},
		{"args too long", offstage.Named("k", strings.Repeat("x", offstage.MaxArgs)), nil, "args", "1048576"},
		{"raw args not JSON", offstage.Named("k", json.RawMessage(`{`)), nil, "args", "JSON"},
		{"raw args not UTF-8", offstage.Named("k", json.RawMessage("\"\xff\"")), nil, "args", "UTF-8"},
		{"args of a channel", offstage.Named("k", make(chan int)), nil, "args", "JSON"},
		{"args of NaN", offstage.Named("k", math.NaN()), nil, "args", "JSON"},
		{"unexported field", mail{secret: "x"}, nil, "args.secret", "unexported"},
		{"big number in an interface", mail{Any: int64(1<<62 + 1)}, nil, "args", "round trip"},
		{"invalid UTF-8", mail{To: "a\xffb"}, nil, "args", "round trip"},
		{"attempts", mail{}, []offstage.Option{offstage.MaxAttempts(0)}, "max attempts", "1"},
		{"timeout", mail{}, []offstage.Option{offstage.Timeout(-time.Second)}, "timeout", "positive"},
		{"far away", mail{}, []offstage.Option{offstage.After(200 * 365 * 24 * time.Hour)}, "delay", "100 years"},
		{"year 10000", mail{}, []offstage.Option{offstage.At(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))}, "run at", "9999"},
		{"too many tags", mail{}, []offstage.Option{offstage.Tags(strings.Split(long, "")...)}, "tags", "20"},
		{"long tag", mail{}, []offstage.Option{offstage.Tags(long)}, "tags", "100"},
		{"control in a tag", mail{}, []offstage.Option{offstage.Tags("a\x00")}, "tags", "control"},
		{"metadata too long", mail{}, []offstage.Option{offstage.Metadata("a", strings.Repeat("x", offstage.MaxExtra+1))}, "metadata a", "65536"},
		{"unique without mode", mail{}, []offstage.Option{offstage.Unique(offstage.UniqueRule{})}, "unique mode", "Skip"},
		{"debounce without wait", mail{}, []offstage.Option{offstage.Unique(offstage.UniqueRule{Mode: offstage.Debounce})}, "unique wait", "Wait"},
		{"unique by a missing field", mail{}, []offstage.Option{offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, ByArgs: []string{"nope"}})}, "unique args", "nope"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			store := &sink{}
			_, err := offstage.NewClient(store).Enqueue(t.Context(), c.args, c.options...)
			var bad *offstage.InvalidError
			if !errors.As(err, &bad) || bad.Field != c.field || !strings.Contains(bad.Problem, c.says) {
				t.Errorf("error %v; want an InvalidError of field %q that says %q", err, c.field, c.says)
			}
			if len(store.jobs) != 0 {
				t.Error("the job was stored all the same")
			}
		})
	}
}

// plain are arguments that need no look once they are written.
type plain struct {
	Text string `json:"text"`
}

func (plain) Kind() string { return "plain" }

// Arguments that an option or a middleware puts in are looked at, whatever was there
// before.
func TestArgumentsOfOthersAreChecked(t *testing.T) {
	for _, broken := range []string{"{", `{"text":"b"`, `{"text":"ab}`, "{\"text\":\"\xff\"}", ""} {
		swap := func(job *offstage.NewJob) error {
			job.Args = json.RawMessage(broken)
			return nil
		}
		between := func(next offstage.EnqueueFunc) offstage.EnqueueFunc {
			return func(ctx context.Context, job *offstage.NewJob) (offstage.Inserted, error) {
				job.Args = append(job.Args[:0], broken...)
				return next(ctx, job)
			}
		}
		over := func(job *offstage.NewJob) error {
			job.Args = append(job.Args[:0], broken...)
			return nil
		}
		for name, enqueue := range map[string]func(store *sink) error{
			"an option, in their place": func(store *sink) error {
				_, err := offstage.NewClient(store).Enqueue(t.Context(), plain{"a"}, over)
				return err
			},
			"an option": func(store *sink) error {
				_, err := offstage.NewClient(store).Enqueue(t.Context(), plain{"a"}, swap)
				return err
			},
			"a middleware": func(store *sink) error {
				_, err := offstage.NewClient(store, offstage.WithEnqueueMiddleware(between)).Enqueue(t.Context(), plain{"a"})
				return err
			},
		} {
			store := &sink{}
			var bad *offstage.InvalidError
			if err := enqueue(store); !errors.As(err, &bad) || bad.Field != "args" || len(store.jobs) != 0 {
				t.Errorf("%s puts in %q: %v, stored %v", name, broken, err, store.jobs)
			}
		}
	}
}

func TestRawJSONIsKeptByteForByte(t *testing.T) {
	raw := json.RawMessage("{ \"b\":1,\n\"a\":\"\\u0000\", \"a\":1e400 }")
	store := &sink{}
	args := offstage.With(offstage.Named("k", raw), offstage.Priority(0))
	if _, err := offstage.NewClient(store).Enqueue(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	if got := string(store.jobs[0].Args); got != string(raw) {
		t.Errorf("stored %q; want %q", got, raw)
	}
	if store.jobs[0].Priority != 0 {
		t.Error("With's option was lost")
	}
}

func TestTypedArgsSurvive(t *testing.T) {
	store := &sink{}
	sent := mail{To: "a <b>", When: time.Now()}
	if _, err := offstage.NewClient(store).Enqueue(t.Context(), &sent); err != nil {
		t.Fatal(err)
	}
	var got mail
	if err := json.Unmarshal(store.jobs[0].Args, &got); err != nil || got.To != sent.To || !got.When.Equal(sent.When) {
		t.Errorf("read back %+v, %v; want %+v", got, err, sent)
	}
}

func TestUniqueKeys(t *testing.T) {
	key := func(args offstage.Args, rule offstage.UniqueRule) string {
		store := &sink{}
		rule.Mode = offstage.Skip
		if _, err := offstage.NewClient(store).Enqueue(t.Context(), args, offstage.Unique(rule)); err != nil {
			t.Fatal(err)
		}
		return string(store.jobs[0].Unique.Key)
	}
	byTo := offstage.UniqueRule{ByArgs: []string{"to"}}
	all := offstage.UniqueRule{}
	if key(mail{To: "a", Any: 1}, byTo) != key(mail{To: "a", Any: 2}, byTo) {
		t.Error("ByArgs looks at fields that it was not given")
	}
	if key(mail{To: "a", Any: 1}, all) == key(mail{To: "a", Any: 2}, all) {
		t.Error("without ByArgs all arguments count")
	}
	if key(offstage.Named("x", mail{To: "a"}), all) == key(mail{To: "a"}, all) {
		t.Error("kinds share keys")
	}
	if key(offstage.Named("k", "v"), offstage.UniqueRule{Key: `"v"`}) == key(offstage.Named("k", "v"), all) {
		t.Error("a key of the application meets one made of arguments")
	}
}
