package billing

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/idempotency"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/sqlite"
)

// The handler may be cut off anywhere: Twice tries each place.
func TestRightMayRunTwice(t *testing.T) {
	offstagetest.Twice(t, Bill{Customer: 7, Cents: 100}, world((*Shop).Right))
}

// world is a shop with its own database, bank and mail service.
func world(handle func(*Shop, context.Context, *offstage.Job[Bill]) error) func(tb testing.TB) offstagetest.Trial[Bill] {
	return func(tb testing.TB) offstagetest.Trial[Bill] {
		shop, bank, post := newShop(tb)
		return offstagetest.Trial[Bill]{
			Store:  shop.Store,
			Handle: func(ctx context.Context, job *offstage.Job[Bill]) error { return handle(shop, ctx, job) },
			Effects: map[string]func() any{
				"invoices": func() any { return count(tb, shop) },
				"charges":  func() any { return bank.acted },
				"mails":    func() any { return post.acted },
			},
		}
	}
}

// service acts once for each key, as payment providers do.
type service struct {
	seen  map[string]bool
	acted int
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key := r.Header.Get(idempotency.Header); key == "" || !s.seen[key] {
		s.seen[key] = true
		s.acted++
	}
	_, _ = w.Write([]byte(`{"id": "1"}`)) // whoever asked may be gone
}

func newShop(tb testing.TB) (shop *Shop, bank, post *service) {
	tb.Helper()
	store, err := sqlite.Open(tb.Context(), ":memory:")
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := store.DB().Exec("CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer INTEGER, cents INTEGER)"); err != nil {
		tb.Fatal(err)
	}
	bank, post = &service{seen: map[string]bool{}}, &service{seen: map[string]bool{}}
	bankServer, postServer := httptest.NewServer(bank), httptest.NewServer(post)
	tb.Cleanup(func() {
		bankServer.Close()
		postServer.Close()
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	client := &http.Client{Transport: &idempotency.Transport{}}
	return &Shop{Store: store, Client: client, Bank: bankServer.URL, Post: postServer.URL}, bank, post
}

func count(tb testing.TB, shop *Shop) (n int) {
	if err := shop.Store.DB().QueryRow("SELECT count(*) FROM invoice").Scan(&n); err != nil {
		tb.Error(err)
	}
	return n
}
