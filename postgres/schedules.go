package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// Each answers with the time in its first column, though it finds no schedule.
// schedulesSQL and scheduleSQL go by the index on names, schedulesDueSQL by the one
// on look_at, of which it also tells the first that has not come.
const (
	schedulesSQL = `SELECT t.now, NULL::timestamptz, s.id, s.version, s.info
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
LEFT JOIN LATERAL (SELECT * FROM offstage.schedule WHERE name > $2::text ORDER BY name LIMIT $3::int) s ON true ORDER BY s.name`
	scheduleSQL = `SELECT t.now, NULL::timestamptz, s.id, s.version, s.info
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
LEFT JOIN offstage.schedule s ON s.name = $2::text`
	schedulesDueSQL = `SELECT t.now, (SELECT look_at FROM offstage.schedule WHERE look_at > t.now ORDER BY look_at LIMIT 1), s.id, s.version, s.info
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
LEFT JOIN LATERAL (SELECT * FROM offstage.schedule WHERE look_at <= t.now ORDER BY look_at, id LIMIT $2::int) s ON true ORDER BY s.look_at, s.id`
)

// FindSchedules returns a page of schedules; see [offstage.Scheduler].
func (s *Store) FindSchedules(ctx context.Context, query offstage.ScheduleQuery) (page offstage.SchedulePage, err error) {
	text, args := schedulesSQL, []any{s.now(), query.After, query.Limit}
	switch {
	case query.Due:
		text, args = schedulesDueSQL, []any{s.now(), query.Limit}
	case query.Name != "":
		text, args = scheduleSQL, []any{s.now(), query.Name}
	}
	err = s.send(ctx, s.work, unit{op: "find schedules", repeatable: true, build: func(b *pgx.Batch) {
		page = offstage.SchedulePage{}
		b.Queue(s.sql(text), args...).Query(func(rows pgx.Rows) error { return readSchedules(rows, &page) })
	}})
	return page, err
}

func readSchedules(rows pgx.Rows, page *offstage.SchedulePage) error {
	var next *time.Time
	var id, version *int64
	var text *string
	_, err := pgx.ForEachRow(rows, []any{&page.Now, &next, &id, &version, &text}, func() error {
		if next != nil {
			page.Next = *next
		}
		if id == nil {
			return nil
		}
		var info offstage.ScheduleInfo
		if err := json.Unmarshal([]byte(*text), &info); err != nil {
			return err
		}
		info.ID, info.Version = *id, *version
		page.Schedules = append(page.Schedules, info)
		return nil
	})
	return err
}

// ChangeSchedules carries out changes; see [offstage.Scheduler].
func (s *Store) ChangeSchedules(ctx context.Context, changes []offstage.ScheduleChange) ([]offstage.ScheduleChanged, error) {
	const op = "change schedules"
	if err := s.usable(ctx, op); err != nil || len(changes) == 0 {
		return nil, err
	}
	var jobs []offstage.NewJob
	for i := range changes {
		for _, tick := range changes[i].Ticks {
			if tick.Job != nil && !changes[i].Remove {
				jobs = append(jobs, *tick.Job)
			}
		}
	}
	rows, err := s.rows(ctx, jobs, s.newIDs)
	if err != nil {
		return nil, err
	}
	var r *rescheduling
	err = s.transact(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		r = newRescheduling(s, pgxSession{tx}, changes, rows)
		if err := r.run(ctx); err != nil || len(r.counting(unseen)) == 0 {
			return err
		}
		_, err := tx.Exec(ctx, notifySQL, s.schema, payloadAny)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		s.knocker.ring()
	}
	return r.answers, nil
}

// rescheduling is a call of ChangeSchedules under way.
type rescheduling struct {
	store   *Store
	tx      session
	changes []offstage.ScheduleChange
	items   []*plan
	answers []offstage.ScheduleChanged
}

// plan is one change with what is known of its schedule.
type plan struct {
	*offstage.ScheduleChange
	answer *offstage.ScheduleChanged
	rows   []row  // of its ticks' jobs, in order
	text   string // the schedule's JSON
	ticks  int64  // recorded before
	counts bool
}

func newRescheduling(s *Store, tx session, changes []offstage.ScheduleChange, rows []row) *rescheduling {
	r := &rescheduling{store: s, tx: tx, changes: changes, answers: make([]offstage.ScheduleChanged, len(changes))}
	for i := range changes {
		p := &plan{ScheduleChange: &changes[i], answer: &r.answers[i]}
		for _, tick := range p.Ticks {
			if tick.Job != nil && !p.Remove {
				p.rows, rows = append(p.rows, rows[0]), rows[1:]
			}
		}
		r.items = append(r.items, p)
	}
	return r
}

func (r *rescheduling) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.lock, r.passOver, r.put, r.add, r.drop, r.record} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unseen reports whether the leader is to look at a schedule, or at what is left when
// it was removed, sooner than it knows.
func unseen(p *plan) bool { return len(p.Ticks) == 0 }

// lockSchedulesSQL locks the schedules of these names, in their order.
const lockSchedulesSQL = `SELECT name, id, version, ticks FROM offstage.schedule WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE`

// lock finds the changes that were made of the present version.
func (r *rescheduling) lock(ctx context.Context) error {
	type known struct{ id, version, ticks int64 }
	all := map[string]known{}
	var name string
	var k known
	names := texts(r.items, func(p **plan) (string, bool) { return (*p).Schedule.Name, true })
	err := r.tx.each(ctx, r.store.sql(lockSchedulesSQL), []any{names}, func() error {
		all[name] = k
		return nil
	}, &name, &k.id, &k.version, &k.ticks)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, p := range r.items {
		k := all[p.Schedule.Name] // of a new one: zero, as in the change
		p.counts = k.id == p.Schedule.ID && k.version == p.Schedule.Version && !seen[p.Schedule.Name]
		p.ticks = k.ticks
		if p.counts {
			seen[p.Schedule.Name] = true
			text, err := json.Marshal(&p.Schedule)
			if err != nil {
				return err
			}
			p.text = string(text)
		}
	}
	return nil
}

// counting returns the changes that count and of which more holds.
func (r *rescheduling) counting(more func(*plan) bool) []*plan {
	var some []*plan
	for _, p := range r.items {
		if p.counts && more(p) {
			some = append(some, p)
		}
	}
	return some
}

// tickAt is one tick of one of the changes.
type tickAt struct {
	*offstage.NewTick
	schedule, number int64
	inserted         offstage.Inserted
}

func (t *tickAt) time() (string, bool) { return t.At.UTC().Format(timeFormat), true }

// ticksOf lists the ticks of changes, numbered after those recorded before.
func ticksOf(plans []*plan) []tickAt {
	var all []tickAt
	for _, p := range plans {
		for i := range p.Ticks {
			t := tickAt{NewTick: &p.Ticks[i], schedule: p.answer.ID, number: p.ticks + int64(i) + 1}
			if i < len(p.answer.Jobs) {
				t.inserted = p.answer.Jobs[i]
			}
			all = append(all, t)
		}
	}
	return all
}

// hasTicksSQL finds those of the ticks $2 of schedules $1 that are recorded.
const hasTicksSQL = `SELECT DISTINCT t.schedule FROM unnest($1::bigint[], $2::timestamptz[]) u (schedule, at)
CROSS JOIN LATERAL (SELECT schedule FROM offstage.tick WHERE schedule = u.schedule AND at = u.at OFFSET 0) t`

// passOver leaves out the changes of which a tick is recorded.
func (r *rescheduling) passOver(ctx context.Context) error {
	some := r.counting(func(p *plan) bool { return p.Schedule.ID != 0 && len(p.Ticks) > 0 && !p.Remove })
	if len(some) == 0 {
		return nil
	}
	byID := map[int64]*plan{}
	for _, p := range some {
		byID[p.Schedule.ID], p.answer.ID = p, p.Schedule.ID
	}
	ticks := ticksOf(some)
	ids, times := ints(ticks, func(t *tickAt) int64 { return t.schedule }), texts(ticks, (*tickAt).time)
	var id int64
	return r.tx.each(ctx, r.store.sql(hasTicksSQL), []any{ids, times}, func() error {
		byID[id].counts, byID[id].answer.ID = false, 0
		return nil
	}, &id)
}

// putSchedulesSQL gives the schedules $1 the columns that follow.
const putSchedulesSQL = `UPDATE offstage.schedule s SET version = s.version + 1, look_at = u.look_at, ticks = u.ticks, info = u.info
FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::text[]) u (id, look_at, ticks, info) WHERE s.id = u.id`

func (r *rescheduling) put(ctx context.Context) error {
	some := r.counting(func(p *plan) bool { return p.Schedule.ID != 0 && !p.Remove })
	if len(some) == 0 {
		return nil
	}
	for _, p := range some {
		*p.answer = offstage.ScheduleChanged{Counted: true, ID: p.Schedule.ID}
	}
	ids := ints(some, func(p **plan) int64 { return (*p).Schedule.ID })
	_, err := r.tx.exec(ctx, r.store.sql(putSchedulesSQL), ids, lookTimes(some), tickCounts(some), infos(some))
	return err
}

func lookTimes(plans []*plan) string {
	return texts(plans, func(p **plan) (string, bool) {
		at := (*p).Schedule.LookAt
		return at.UTC().Format(timeFormat), !at.IsZero()
	})
}

func tickCounts(plans []*plan) string {
	return ints(plans, func(p **plan) int64 { return (*p).ticks + int64(len((*p).Ticks)) })
}

func infos(plans []*plan) string {
	return texts(plans, func(p **plan) (string, bool) { return (*p).text, true })
}

// addSchedulesSQL makes schedules of the names $1, unless others just did.
const addSchedulesSQL = `INSERT INTO offstage.schedule (name, look_at, ticks, info)
SELECT name, look_at, ticks, info FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::text[]) u (name, look_at, ticks, info) ORDER BY name
ON CONFLICT (name) DO NOTHING RETURNING name, id`

func (r *rescheduling) add(ctx context.Context) error {
	some := r.counting(func(p *plan) bool { return p.Schedule.ID == 0 && !p.Remove })
	if len(some) == 0 {
		return nil
	}
	byName := map[string]*plan{}
	for _, p := range some {
		byName[p.Schedule.Name], p.counts = p, false
	}
	names := texts(some, func(p **plan) (string, bool) { return (*p).Schedule.Name, true })
	var name string
	var id int64
	return r.tx.each(ctx, r.store.sql(addSchedulesSQL), []any{names, lookTimes(some), tickCounts(some), infos(some)}, func() error {
		byName[name].counts = true
		*byName[name].answer = offstage.ScheduleChanged{Counted: true, ID: id}
		return nil
	}, &name, &id)
}

// The schedules $1 go with their ticks.
const (
	dropTicksSQL     = `DELETE FROM offstage.tick WHERE schedule = ANY($1::bigint[])`
	dropSchedulesSQL = `DELETE FROM offstage.schedule WHERE id = ANY($1::bigint[])`
)

func (r *rescheduling) drop(ctx context.Context) error {
	some := r.counting(func(p *plan) bool { return p.Remove })
	if len(some) == 0 {
		return nil
	}
	for _, p := range some {
		*p.answer = offstage.ScheduleChanged{Counted: p.Schedule.ID != 0, ID: p.Schedule.ID}
	}
	ids := ints(some, func(p **plan) int64 { return (*p).Schedule.ID })
	return r.tx.send(ctx, statement{r.store.sql(dropTicksSQL), []any{ids}}, statement{r.store.sql(dropSchedulesSQL), []any{ids}})
}

const (
	addTicksSQL = `INSERT INTO offstage.tick (schedule, at, number, seen_at, job, late, manual, outcome)
SELECT u.schedule, u.at, u.number, coalesce($1::timestamptz, statement_timestamp()), nullif(u.job, 0), u.late <> 0, u.manual <> 0, u.outcome
FROM unnest($2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $8::text[])
	u (schedule, at, number, job, late, manual, outcome)`
	// oldTicksSQL removes the ticks of schedules $1 up to the numbers $2.
	oldTicksSQL = `DELETE FROM offstage.tick WHERE ctid = ANY (ARRAY(
	SELECT t.tid FROM unnest($1::bigint[], $2::bigint[]) u (schedule, last)
	CROSS JOIN LATERAL (SELECT ctid AS tid FROM offstage.tick WHERE schedule = u.schedule AND number <= u.last OFFSET 0) t
))`
)

// record inserts the jobs of ticks, and the ticks.
func (r *rescheduling) record(ctx context.Context) error {
	some := r.counting(func(p *plan) bool { return len(p.Ticks) > 0 && !p.Remove })
	if len(some) == 0 {
		return nil
	}
	if err := r.insert(ctx, some); err != nil {
		return err
	}
	ticks := ticksOf(some)
	ids, number := ints(ticks, func(t *tickAt) int64 { return t.schedule }), ints(ticks, func(t *tickAt) int64 { return t.number })
	add := statement{r.store.sql(addTicksSQL), []any{
		r.store.now(), ids, texts(ticks, (*tickAt).time), number,
		ints(ticks, func(t *tickAt) int64 { return int64(t.inserted.ID) }),
		ints(ticks, func(t *tickAt) int64 { return bit(t.Late) }), ints(ticks, func(t *tickAt) int64 { return bit(t.Manual) }),
		texts(ticks, func(t *tickAt) (string, bool) { return string(t.outcome()), true }),
	}}
	old := statement{r.store.sql(oldTicksSQL), []any{
		ints(some, func(p **plan) int64 { return (*p).answer.ID }),
		ints(some, func(p **plan) int64 { return (*p).ticks + int64(len((*p).Ticks)) - offstage.KeepTicks }),
	}}
	return r.tx.send(ctx, add, old)
}

// insert inserts the jobs, and puts what became of them into the answers.
func (r *rescheduling) insert(ctx context.Context, plans []*plan) error {
	var rows []row
	for _, p := range plans {
		rows = append(rows, p.rows...)
	}
	inserted, err := r.store.insertIn(ctx, r.tx, rows)
	if err != nil {
		return err
	}
	for _, p := range plans {
		p.answer.Jobs = make([]offstage.Inserted, len(p.Ticks))
		for i, tick := range p.Ticks {
			if tick.Job != nil {
				p.answer.Jobs[i], inserted = inserted[0], inserted[1:]
			}
		}
	}
	return nil
}

func (t *tickAt) outcome() offstage.TickOutcome {
	switch {
	case t.Job == nil:
		return offstage.TickMissed
	case t.inserted.Existed:
		return offstage.TickOverlap
	}
	return offstage.TickEnqueued
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ticksSQL is a page by the primary key, backwards.
const ticksSQL = `SELECT at, seen_at, outcome, coalesce(job, 0), late, manual FROM offstage.tick
WHERE schedule = $1::bigint AND at < $2::timestamptz ORDER BY at DESC LIMIT $3::int`

// Ticks returns a schedule's history; see [offstage.Scheduler].
func (s *Store) Ticks(ctx context.Context, schedule int64, before time.Time, limit int) (ticks []offstage.TickInfo, err error) {
	bound := "infinity"
	if !before.IsZero() {
		bound = before.UTC().Format(timeFormat)
	}
	err = s.send(ctx, s.work, unit{op: "read ticks", repeatable: true, build: func(b *pgx.Batch) {
		ticks = nil
		b.Queue(s.sql(ticksSQL), schedule, bound, limit).Query(func(rows pgx.Rows) error {
			var t offstage.TickInfo
			_, err := pgx.ForEachRow(rows, []any{&t.At, &t.SeenAt, &t.Outcome, &t.Job, &t.Late, &t.Manual}, func() error {
				ticks = append(ticks, t)
				return nil
			})
			return err
		})
	}})
	return ticks, err
}
