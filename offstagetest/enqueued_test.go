package offstagetest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

type mail struct {
	To string `json:"to"`
}

func (mail) Kind() string { return "mail" }

type report struct{}

func (report) Kind() string { return "report" }

func TestRequireEnqueued(t *testing.T) {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	enqueue := func(args offstage.Args, options ...offstage.Option) {
		if _, err := client.Enqueue(t.Context(), args, options...); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)
	full := []offstage.Option{
		offstage.InQueue("mails"), offstage.Priority(2), offstage.After(time.Hour), offstage.MaxAttempts(3),
		offstage.Timeout(time.Minute), offstage.Tags("x", "y"), offstage.Metadata("order", "17"),
		offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip}),
	}
	enqueue(mail{"a"}, full...)
	enqueue(mail{"b"}, offstage.At(at))
	enqueue(mail{"twice"})
	enqueue(mail{"twice"})

	if got := offstagetest.RequireEnqueued(t, store, mail{"a"}, full...); got.Args.To != "a" || got.Queue != "mails" {
		t.Errorf("got %+v", got)
	}
	offstagetest.RequireEnqueued(t, store, mail{"a"})
	offstagetest.RequireEnqueued(t, store, mail{"b"}, offstage.At(at), offstage.InQueue(offstage.DefaultQueue))
	offstagetest.RequireNotEnqueued[report](t, store)
	var all []string
	for _, job := range offstagetest.Enqueued[mail](t, store) {
		all = append(all, job.Args.To)
	}
	if fmt.Sprint(all) != "[a b twice twice]" {
		t.Errorf("enqueued %v", all)
	}

	for want, call := range map[string]func(tb testing.TB){
		"there are none of this kind":                        func(tb testing.TB) { offstagetest.RequireEnqueued(tb, store, report{}) },
		`job 1, scheduled, args {"to":"a"}: differs in args`: func(tb testing.TB) { offstagetest.RequireEnqueued(tb, store, mail{"c"}) },
		"2 jobs of kind mail are as wanted":                  func(tb testing.TB) { offstagetest.RequireEnqueued(tb, store, mail{"twice"}) },
		"4 jobs of kind mail were enqueued":                  func(tb testing.TB) { offstagetest.RequireNotEnqueued[mail](tb, store) },
		"differs in queue mails":                             requires(store, offstage.InQueue("other")),
		"differs in priority 2":                              requires(store, offstage.Priority(3)),
		"differs in delay 1h0m0s":                            requires(store, offstage.After(2*time.Hour)),
		"differs in run at":                                  requires(store, offstage.At(at)),
		"differs in max attempts 3":                          requires(store, offstage.MaxAttempts(4)),
		"differs in timeout 1m0s":                            requires(store, offstage.Timeout(time.Hour)),
		"differs in no tag z":                                requires(store, offstage.Tags("x", "z")),
		`differs in metadata order="17"`:                     requires(store, offstage.Metadata("order", "18")),
		"differs in unique key":                              requires(store, offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: "k"})),
	} {
		if got := failure(t, call); !strings.Contains(got, want) {
			t.Errorf("failed with %q, want %q in it", got, want)
		}
	}
}

// requires asks for mail a with one more option.
func requires(store offstage.Store, option offstage.Option) func(testing.TB) {
	return func(tb testing.TB) { offstagetest.RequireEnqueued(tb, store, mail{"a"}, option) }
}

// failure returns what a test that makes the call says when it fails.
func failure(t *testing.T, call func(testing.TB)) (said string) {
	t.Helper()
	defer func() {
		if f, failed := recover().(failed); failed {
			said = string(f)
		}
	}()
	call(failing{t})
	return "nothing"
}

// failing is a test whose end can be seen from outside.
type failing struct{ testing.TB }

type failed string

// Fatalf ends the call with what the test says.
func (f failing) Fatalf(format string, args ...any) { panic(failed(fmt.Sprintf(format, args...))) }
