package offstage_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/offstagehq/offstage"
)

func (s *sink) InsertSeq(_ context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	for job, err := range jobs {
		if err != nil {
			return 0, err
		}
		s.jobs = append(s.jobs, job)
	}
	return int64(len(s.jobs)), nil
}

type tenantCarrier struct{}

func (tenantCarrier) Inject(_ context.Context, values map[string]string) { values["trace"] = "t1" }

func (tenantCarrier) Extract(ctx context.Context, _ map[string]string) context.Context { return ctx }

func TestContextValuesTravel(t *testing.T) {
	store := &sink{}
	client := offstage.NewClient(store, offstage.WithCarriers(tenantCarrier{}))
	ctx := offstage.Carry(offstage.Carry(t.Context(), "tenant", "acme"), "locale", "de")
	if _, err := client.Enqueue(ctx, mail{}); err != nil {
		t.Fatal(err)
	}
	carried := offstage.WithCarried(t.Context(), store.jobs[0].Carry)
	for key, want := range map[string]string{"tenant": "acme", "locale": "de", "trace": "t1", "none": ""} {
		if got := offstage.Carried(carried, key); got != want {
			t.Errorf("%s is %q; want %q", key, got, want)
		}
	}
	if offstage.Carried(t.Context(), "tenant") != "" {
		t.Error("a value leaked into another context")
	}
}

func TestEnqueueMiddleware(t *testing.T) {
	var order []string
	note := func(name string) offstage.EnqueueMiddleware {
		return func(next offstage.EnqueueFunc) offstage.EnqueueFunc {
			return func(ctx context.Context, job *offstage.NewJob) (offstage.Inserted, error) {
				order = append(order, name+" "+job.Kind)
				job.Tags = append(job.Tags, name)
				return next(ctx, job)
			}
		}
	}
	store := &sink{}
	client := offstage.NewClient(store, offstage.WithEnqueueMiddleware(note("outer"), note("inner")))
	if _, err := client.Enqueue(t.Context(), mail{}); err != nil {
		t.Fatal(err)
	}
	many := slices.Values([]offstage.Args{mail{}})
	if n, err := client.EnqueueMany(t.Context(), many); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if want := []string{"outer mail", "inner mail", "outer mail", "inner mail"}; !slices.Equal(order, want) {
		t.Errorf("middleware ran %q; want %q", order, want)
	}
	for _, job := range store.jobs {
		if !slices.Equal(job.Tags, []string{"outer", "inner"}) {
			t.Errorf("what middleware changed is lost: %q", job.Tags)
		}
	}
}

func TestEnqueueManyStopsAtTheFirstError(t *testing.T) {
	store := &sink{}
	made := 0
	jobs := func(yield func(offstage.Args) bool) {
		for _, args := range []offstage.Args{mail{}, offstage.Named("bad kind", 1), mail{}} {
			made++
			if !yield(args) {
				return
			}
		}
	}
	_, err := offstage.NewClient(store).EnqueueMany(t.Context(), jobs)
	var bad *offstage.InvalidError
	if !errors.As(err, &bad) || bad.Field != "kind" {
		t.Errorf("error %v; want an InvalidError of the kind", err)
	}
	if made != 2 {
		t.Errorf("the sequence was asked for %d jobs; want 2", made)
	}
}
