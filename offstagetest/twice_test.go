package offstagetest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/sqlite"
)

// witness notes what is said of a test instead of failing it.
type witness struct {
	testing.TB
	errors []string
}

func (w *witness) Helper() {}

func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

// bank is a payment provider that knows keys.
type bank struct {
	charges []string        // in order
	keys    map[string]bool // that were seen
}

func (b *bank) charge(key string) {
	if key != "" && b.keys[key] {
		return
	}
	b.keys[key] = true
	b.charges = append(b.charges, "charged")
}

// billing makes worlds of handlers that charge a bank.
func billing(handle func(ctx context.Context, job *offstage.Job[mail], b *bank) error) func(tb testing.TB) offstagetest.Trial[mail] {
	return func(tb testing.TB) offstagetest.Trial[mail] {
		b := &bank{keys: map[string]bool{}}
		return offstagetest.Trial[mail]{
			Handle:  func(ctx context.Context, job *offstage.Job[mail]) error { return handle(ctx, job, b) },
			Effects: map[string]func() any{"charges": func() any { return slices.Clone(b.charges) }},
		}
	}
}

// charge is a step that charges under a key.
func charge(ctx context.Context, b *bank, name string, key func(context.Context) string) error {
	_, err := offstage.Step(ctx, name, func(ctx context.Context) (int, error) { b.charge(key(ctx)); return 1, nil })
	return err
}

func noKey(context.Context) string            { return "" }
func itsKey(ctx context.Context) string       { return offstage.IdempotencyKey(ctx) }
func both(first, second error) (joined error) { return errors.Join(first, second) }

// handlers are what Twice must say something of, or nothing.
var handlers = []struct {
	name   string
	handle func(ctx context.Context, job *offstage.Job[mail], b *bank) error
	says   []string // one part for each complaint
}{
	{"without steps", func(ctx context.Context, job *offstage.Job[mail], b *bank) error { b.charge(""); return nil },
		[]string{"before the job's end is recorded"}},
	{"a step without a key", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		return charge(ctx, b, "charge", noKey)
	}, []string{`before step "charge" is remembered`}},
	{"steps with keys", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		return both(charge(ctx, b, "charge", itsKey), charge(ctx, b, "second", itsKey))
	}, nil},
	{"one of two without", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		return both(charge(ctx, b, "charge", itsKey), charge(ctx, b, "second", noKey))
	}, []string{`before step "second" is remembered`}},
	{"between steps", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		err := charge(ctx, b, "charge", itsKey)
		b.charge("")
		return both(err, charge(ctx, b, "second", itsKey))
	}, []string{`before step "second" is remembered`, `after step "second" is remembered`, "before the job's end is recorded"}},
	{"a key that is new in each attempt", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		return charge(ctx, b, "charge", func(context.Context) string { return fmt.Sprint("attempt ", job.Run) })
	}, []string{`before step "charge" is remembered`}},
	{"a cursor over things with keys", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		cursor, err := offstage.OpenCursor[int](ctx, "rows", offstage.SaveEvery(0, 2))
		if err != nil {
			return err
		}
		for i, _ := cursor.Value(); i < 5; {
			b.charge(offstage.IdempotencyKey(ctx, fmt.Sprint(i)))
			i++
			if err := cursor.Set(ctx, i); err != nil {
				return err
			}
		}
		return cursor.Save(ctx)
	}, nil},
	{"sleeps between steps", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		if err := charge(ctx, b, "charge", itsKey); err != nil {
			return err
		}
		if err := offstage.Sleep(ctx, "cool down", 24*time.Hour); err != nil {
			return err
		}
		return charge(ctx, b, "second", itsKey)
	}, nil},
	{"gives up when it is not alone", func(ctx context.Context, job *offstage.Job[mail], b *bank) error {
		if job.Run > 1 {
			return offstage.Fail(errors.New("it ran before"))
		}
		return charge(ctx, b, "charge", itsKey)
	}, []string{"does not complete", "does not complete", "does not complete"}},
}

func TestTwice(t *testing.T) {
	for _, c := range handlers {
		t.Run(c.name, func(t *testing.T) {
			w := &witness{TB: t}
			offstagetest.Twice(w, mail{"a"}, billing(c.handle))
			if len(w.errors) != len(c.says) {
				t.Fatalf("%d complaints, want %d: %q", len(w.errors), len(c.says), w.errors)
			}
			for i, part := range c.says {
				if !strings.Contains(w.errors[i], part) {
					t.Errorf("complaint %q does not say %q", w.errors[i], part)
				}
			}
		})
	}
}

// With the store of a database, transactions are the database's own.
func TestTwiceInADatabase(t *testing.T) {
	worldOf := func(insert func(ctx context.Context, store *sqlite.Store) error) func(tb testing.TB) offstagetest.Trial[mail] {
		return func(tb testing.TB) offstagetest.Trial[mail] {
			store, err := sqlite.Open(tb.Context(), ":memory:")
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = store.Close() }) // a database in memory is lost anyway
			if _, err := store.DB().Exec("CREATE TABLE invoice (id INTEGER PRIMARY KEY)"); err != nil {
				tb.Fatal(err)
			}
			return offstagetest.Trial[mail]{
				Store:  store,
				Handle: func(ctx context.Context, job *offstage.Job[mail]) error { return insert(ctx, store) },
				Effects: map[string]func() any{"invoices": func() any {
					var n int
					if err := store.DB().QueryRow("SELECT count(*) FROM invoice").Scan(&n); err != nil {
						tb.Error(err)
					}
					return n
				}},
			}
		}
	}
	row := func(ctx context.Context, tx *sql.Tx) (int, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO invoice DEFAULT VALUES")
		return 0, err
	}
	good := &witness{TB: t}
	offstagetest.Twice(good, mail{"a"}, worldOf(func(ctx context.Context, store *sqlite.Store) error {
		tx, err := store.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		_, err = offstage.StepTx(ctx, sqlite.Tx(tx), "invoice", func(ctx context.Context) (int, error) { return row(ctx, tx) })
		return both(err, tx.Commit())
	}))
	if len(good.errors) > 0 {
		t.Errorf("of StepTx it says %q", good.errors)
	}
	bad := &witness{TB: t}
	offstagetest.Twice(bad, mail{"a"}, worldOf(func(ctx context.Context, store *sqlite.Store) error {
		_, err := offstage.Step(ctx, "invoice", func(ctx context.Context) (int, error) {
			tx, err := store.DB().BeginTx(ctx, nil)
			if err != nil {
				return 0, err
			}
			_, err = row(ctx, tx)
			return 0, both(err, tx.Commit())
		})
		return err
	}))
	if len(bad.errors) != 1 || !strings.Contains(bad.errors[0], `"invoices" differs: once it is 1, cut and run again 2`) {
		t.Errorf("of a step that commits by itself it says %q", bad.errors)
	}
}
