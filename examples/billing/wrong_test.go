package billing

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

// heard is a test that is told of errors without failing.
type heard struct {
	testing.TB
	errors []string
}

func (h *heard) Errorf(format string, args ...any) {
	h.errors = append(h.errors, fmt.Sprintf(format, args...))
}

// What the page says of the wrong way is true.
func TestWrongMayNot(t *testing.T) {
	h := &heard{TB: t}
	offstagetest.Twice(h, Bill{Customer: 7, Cents: 100}, world((*Shop).Wrong))
	for i, effect := range []string{"charges", "invoices", "mails"} {
		if len(h.errors) != 3 || !strings.Contains(strings.Join(h.errors, "\n"), effect) {
			t.Errorf("complaint %d: %q", i, h.errors)
		}
	}
}

type remind struct{}

func (remind) Kind() string { return "remind" }

func TestRemindMayRunTwice(t *testing.T) {
	offstagetest.Twice(t, remind{}, func(tb testing.TB) offstagetest.Trial[remind] {
		shop, _, post := newShop(tb)
		for customer := range 25 {
			if _, err := shop.Store.DB().Exec("INSERT INTO invoice (customer, cents) VALUES (?, 100)", customer); err != nil {
				tb.Fatal(err)
			}
		}
		return offstagetest.Trial[remind]{
			Store: shop.Store,
			Handle: func(ctx context.Context, job *offstage.Job[remind]) error {
				return shop.Remind(ctx, &offstage.Job[struct{}]{Facts: job.Facts, Run: job.Run})
			},
			Effects: map[string]func() any{"mails": func() any { return post.acted }},
		}
	})
}
