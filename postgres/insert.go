package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// row is a new job as it will be stored. It shares no memory with the caller.
type row struct {
	id int64
	terms
	delay  time.Duration // 0: see at
	at     time.Time     // zero: after delay
	args   string
	extra  string // JSON, or "": none
	unique *offstage.UniqueKey
}

// terms are what the jobs of one call, and often those of many, have in common.
type terms struct {
	kind, queue int32
	priority    int
	maxAttempts int
	timeout     time.Duration
}

func (r *row) common() terms { return r.terms }

func (r *row) due() bool { return r.delay <= 0 && r.at.IsZero() }

// wait returns about how long until the job is due.
func (r *row) wait() time.Duration {
	if r.at.IsZero() {
		return r.delay
	}
	return time.Until(r.at)
}

// time writes when the job is due for the server; "": after delay.
func (r *row) time() string {
	if r.at.IsZero() {
		return ""
	}
	return r.at.UTC().Format(timeFormat)
}

// largeCall is how many jobs a call must bring to be sent alone, beside the
// groups: it pays for its own commit.
const largeCall = 500

// Insert stores jobs; see [offstage.Inserter]. Calls without unique jobs, and those
// with only one job, share a statement and a commit with others that come meanwhile.
func (s *Store) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	if err := s.usable(ctx, "insert jobs"); err != nil || len(jobs) == 0 {
		return nil, err
	}
	rows, err := s.rows(ctx, jobs, s.newIDs)
	if err != nil {
		return nil, err
	}
	byQueue(rows)
	switch {
	case len(rows) == 1 && rows[0].unique != nil:
		return s.insertShared(ctx, rows)
	case hasUnique(rows):
		return s.insertUnique(ctx, rows)
	case len(rows) >= largeCall:
		err = s.store(ctx, rows, 0)
	default:
		err = s.inserts.join(ctx, "insert jobs", &insertion{rows, make(chan error, 1)})
	}
	if err != nil {
		return nil, err
	}
	s.knocker.ringFor(rows)
	inserted := make([]offstage.Inserted, len(rows))
	for i := range rows {
		inserted[i].ID = offstage.ID(rows[i].id)
	}
	return inserted, nil
}

// usable says why a call cannot begin: the store is closed or the context has ended.
func (s *Store) usable(ctx context.Context, op string) error {
	if s.closed.Load() {
		return closedError(op)
	}
	return fault(ctx, op, ctx.Err(), false)
}

func hasUnique(rows []row) bool {
	for i := range rows {
		if rows[i].unique != nil {
			return true
		}
	}
	return false
}

// rows makes stored jobs of new ones: names become numbers, ids are given.
func (s *Store) rows(ctx context.Context, jobs []offstage.NewJob, newIDs func(context.Context, int) ([]int64, error)) ([]row, error) {
	queues, kinds := make([]string, len(jobs)), make([]string, len(jobs))
	for i := range jobs {
		queues[i], kinds[i] = jobs[i].Queue, jobs[i].Kind
	}
	queueIDs, kindIDs, err := s.intern(ctx, queues, kinds)
	if err != nil {
		return nil, err
	}
	taken, err := newIDs(ctx, len(jobs))
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(jobs))
	for i := range jobs {
		job := &jobs[i]
		rows[i] = row{
			id: taken[i], delay: max(job.Delay, 0), args: string(job.Args), unique: job.Unique,
			terms: terms{
				kind: kindIDs[i], queue: queueIDs[i], priority: job.Priority,
				maxAttempts: job.MaxAttempts, timeout: job.Timeout,
			},
		}
		if u := job.Unique; u != nil && u.Mode == offstage.Debounce {
			rows[i].delay = u.Wait
		} else if !job.RunAt.IsZero() {
			rows[i].at = job.RunAt
		}
		if !job.Extra.Empty() {
			encoded, err := json.Marshal(job.Extra)
			if err != nil {
				return nil, &offstage.InvalidError{Field: "metadata", Problem: err.Error()}
			}
			rows[i].extra = string(encoded)
		}
	}
	return rows, nil
}

// timeFormat is how times are written for the server.
const timeFormat = "2006-01-02T15:04:05.999999Z07:00"

// insertAlikeSQL stores jobs that are due at once and have their terms in common: $4
// to $8, of which other statements get an array each. $1 is the time (null: the
// server's), $2 the nonce; ids, arguments and extras are arrays. It reads no index.
const insertAlikeSQL = `WITH j AS (
	INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args, extra)
	SELECT u.id, t.now, t.now, $8::bigint, $2::bigint, $4::int, $5::int, $7::int, $6::smallint, u.args, u.extra
	FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t,
		unnest($3::bigint[], $9::text[], $10::text[]) AS u (id, args, extra)
)
INSERT INTO offstage.ready (queue, lane, job, since, run, moved)
SELECT $5, $6 * 2 + 1, u.id, coalesce($1, statement_timestamp()), 1, false FROM unnest($3) AS u (id)`

// newFacts are a new job's values from timeout to extra. Where a column's values
// are all alike, only the first is sent: the others are null.
const newFacts = `coalesce(u.timeout, ($8::bigint[])[1]), $2::bigint, coalesce(u.kind, ($4::int[])[1]), coalesce(u.queue, ($5::int[])[1]),
		coalesce(u.max_attempts, ($7::int[])[1]), coalesce(u.priority, ($6::smallint[])[1]), u.args, u.extra`

// insertReadySQL is insertAlikeSQL for jobs that differ in their terms.
const insertReadySQL = `WITH j AS (
	INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args, extra)
	SELECT u.id, t.now, t.now, ` + newFacts + `
	FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t,
		unnest($3::bigint[], $4::int[], $5::int[], $6::smallint[], $7::int[], $8::bigint[], $9::text[], $10::text[])
		AS u (id, kind, queue, priority, max_attempts, timeout, args, extra)
	RETURNING id, queue, priority, created_at
)
INSERT INTO offstage.ready (queue, lane, job, since, run, moved)
SELECT queue, priority * 2 + 1, id, created_at, 1, false FROM j`

// insertMixedSQL is insertReadySQL for jobs of which some have a delay ($11, in
// microseconds) or a time ($12).
const insertMixedSQL = `WITH j AS (
	INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args, extra)
	SELECT u.id, t.now, coalesce(u.at, t.now + coalesce(u.delay, ($11::bigint[])[1]) * interval '1 microsecond'), ` + newFacts + `
	FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t,
		unnest($3::bigint[], $4::int[], $5::int[], $6::smallint[], $7::int[], $8::bigint[], $9::text[], $10::text[],
			$11::bigint[], $12::timestamptz[])
		AS u (id, kind, queue, priority, max_attempts, timeout, args, extra, delay, at)
	RETURNING id, queue, priority, created_at, run_at
), later AS (
	INSERT INTO offstage.scheduled (run_at, job, queue, priority, run)
	SELECT run_at, id, queue, priority, 1 FROM j WHERE run_at > created_at
)
INSERT INTO offstage.ready (queue, lane, job, since, run, moved)
SELECT queue, priority * 2 + 1, id, created_at, 1, false FROM j WHERE run_at <= created_at`

// insertStagedSQL is insertMixedSQL for jobs that wait in batch $13.
const insertStagedSQL = `WITH j AS (
	INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args, extra)
	SELECT u.id, t.now, coalesce(u.at, t.now + coalesce(u.delay, ($11::bigint[])[1]) * interval '1 microsecond'), ` + newFacts + `
	FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t,
		unnest($3::bigint[], $4::int[], $5::int[], $6::smallint[], $7::int[], $8::bigint[], $9::text[], $10::text[],
			$11::bigint[], $12::timestamptz[])
		AS u (id, kind, queue, priority, max_attempts, timeout, args, extra, delay, at)
	RETURNING id, queue, priority, run_at
)
INSERT INTO offstage.staged (batch, job, queue, priority, run_at)
SELECT $13::bigint, id, queue, priority, run_at FROM j`

// byQueue gives the jobs of a queue numbers side by side: what is taken together
// is stored together, in few pages.
func byQueue(rows []row) {
	if alike(rows, func(r *row) int32 { return r.queue }) {
		return
	}
	ids, places := make([]int64, len(rows)), make([]int, len(rows))
	for i := range rows {
		ids[i], places[i] = rows[i].id, i
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(rows[a].queue, rows[b].queue) })
	for nr, place := range places {
		rows[place].id = ids[nr]
	}
}

// inOrder returns rows in the order of their numbers.
func inOrder(rows []row) []row {
	compare := func(a, b row) int { return cmp.Compare(a.id, b.id) }
	if slices.IsSortedFunc(rows, compare) {
		return rows
	}
	return slices.SortedFunc(slices.Values(rows), compare)
}

// insertStatement returns the statement and its parameters for rows.
func (s *Store) insertStatement(rows []row, batch int64) (string, []any) {
	rows = inOrder(rows)
	ready := batch == 0 && alike(rows, (*row).due) && rows[0].due()
	switch {
	case ready && alike(rows, (*row).common):
		return s.sql(insertAlikeSQL), s.insertFacts(rows, rows[0].params()...)
	case ready:
		return s.sql(insertReadySQL), s.insertFacts(rows, columns(rows)...)
	case batch == 0:
		return s.sql(insertMixedSQL), s.insertMixed(rows)
	}
	return s.sql(insertStagedSQL), append(s.insertMixed(rows), batch)
}

// insertFacts are the first ten parameters of a statement that stores rows. The rows'
// terms are five of them.
func (s *Store) insertFacts(rows []row, terms ...any) []any {
	args := append(make([]any, 0, 14), s.now(), s.nonce, ints(rows, func(r *row) int64 { return r.id }))
	return append(append(args, terms...),
		texts(rows, func(r *row) (string, bool) { return r.args, true }),
		optional(rows, func(r *row) string { return r.extra }))
}

// insertMixed are twelve: the facts of rows, and when they are due.
func (s *Store) insertMixed(rows []row) []any {
	return append(s.insertFacts(rows, columns(rows)...),
		column(rows, func(r *row) int64 { return r.delay.Microseconds() }),
		optional(rows, (*row).time))
}

// params are terms as parameters.
func (t *terms) params() []any {
	return []any{t.kind, t.queue, t.priority, t.maxAttempts, t.timeout.Microseconds()}
}

// columns are the terms of rows, an array for each.
func columns(rows []row) []any {
	return []any{
		column(rows, func(r *row) int64 { return int64(r.kind) }),
		column(rows, func(r *row) int64 { return int64(r.queue) }),
		column(rows, func(r *row) int64 { return int64(r.priority) }),
		column(rows, func(r *row) int64 { return int64(r.maxAttempts) }),
		column(rows, func(r *row) int64 { return r.timeout.Microseconds() }),
	}
}

// patience is how long the store asks what became of an insert whose answer was
// lost.
const patience = 20 * time.Second

// persist does something until it is known whether it was done: where an answer
// is lost, it is done again. once must find out by itself that an earlier try
// was carried out after all.
func (s *Store) persist(ctx context.Context, op string, once func() error) error {
	until := time.Now().Add(patience)
	for try, doubt := 1, false; ; try++ {
		err := once()
		doubt = doubt || uncertain(err)
		if err == nil || !doubt || ctx.Err() != nil {
			return err
		}
		if time.Now().After(until) || !wait(ctx, min(time.Second, 20*time.Millisecond<<min(try, 10))) {
			return unknown(ctx, op, err)
		}
	}
}

// insertion is one caller's jobs in a group.
type insertion struct {
	rows []row
	done chan error // of capacity 1
}

func (i *insertion) weight() int          { return len(i.rows) }
func (i *insertion) answer() <-chan error { return i.done }

// storeGroup stores a group. If the data of one of its members cannot be stored, each
// is tried alone.
func (s *Store) storeGroup(ctx context.Context, group []*insertion) (answer func()) {
	rows := slices.Clip(group[0].rows)
	for _, m := range group[1:] {
		rows = append(rows, m.rows...)
	}
	err := s.store(ctx, rows, 0)
	if len(group) > 1 && err != nil && offstage.ClassOf(err) == offstage.FaultData {
		errs := make([]error, len(group))
		for i, m := range group {
			errs[i] = s.store(ctx, m.rows, 0)
		}
		return func() {
			for i, m := range group {
				m.done <- errs[i]
			}
		}
	}
	return func() {
		for _, m := range group {
			for i := range m.rows {
				m.rows[i].id = rows[i].id // they may have been renumbered
			}
			rows = rows[len(m.rows):]
			m.done <- err
		}
	}
}

// store inserts rows in one transaction, as jobs that wait, or staged in a batch
// that is not 0. A conflict with rows that carry this process's nonce is an
// earlier try's success. Rows get new ids if theirs turn out to be taken by
// others, which only a failover can bring about; nobody has seen them yet.
func (s *Store) store(ctx context.Context, rows []row, batch int64) error {
	return s.persist(ctx, "insert jobs", func() error {
		err := s.insertOnce(ctx, rows, batch)
		if codeOf(err) != codeUniqueViolation {
			return err
		}
		stored, err := s.stored(ctx, rows)
		if err != nil || stored {
			return err
		}
		if err := s.renumber(ctx, rows); err != nil {
			return err
		}
		return s.insertOnce(ctx, rows, batch)
	})
}

// uncertain reports whether an insert that failed may have been committed: its
// answer was lost, or the session was ended under it.
func uncertain(err error) bool {
	var fault *offstage.StoreError
	if !errors.As(err, &fault) {
		return false
	}
	return fault.Class == offstage.FaultUnknown || codeOf(err) == "57P01" || codeOf(err) == "57P02"
}

// unknown is the error of a call of which it is not known whether it was carried out.
func unknown(ctx context.Context, op string, err error) error {
	var stored *offstage.StoreError
	if errors.As(err, &stored) {
		err = stored.Err
	}
	if ctx.Err() != nil {
		return fault(ctx, op, err, true)
	}
	return &offstage.StoreError{Class: offstage.FaultUnknown, Op: op, Err: err}
}

// wait returns true after d, false when the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Store) insertOnce(ctx context.Context, rows []row, batch int64) error {
	text, args := s.insertStatement(rows, batch)
	return s.send(ctx, s.work, unit{op: "insert jobs", build: func(b *pgx.Batch) { b.Queue(text, args...) }})
}

// storedSQL counts which of the ids $1 are jobs that this process ($2) inserted.
const storedSQL = `SELECT count(*) FROM offstage.job WHERE id = ANY ($1::bigint[]) AND nonce = $2::bigint`

// stored reports whether rows were inserted by this process, as they are only
// inserted together.
func (s *Store) stored(ctx context.Context, rows []row) (bool, error) {
	var n int
	err := s.send(ctx, s.work, unit{op: "look for inserted jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(storedSQL), ints(rows, func(r *row) int64 { return r.id }), s.nonce).QueryRow(func(row pgx.Row) error {
			return row.Scan(&n)
		})
	}})
	return n > 0, err
}

// renumber gives rows new ids, from new blocks.
func (s *Store) renumber(ctx context.Context, rows []row) error {
	s.epoch.Add(1)
	taken, err := s.newIDs(ctx, len(rows))
	for i := range taken {
		rows[i].id = taken[i]
	}
	return err
}
