package sqlite

import (
	"maps"
	"time"

	"github.com/offstagehq/offstage"
)

// names are the queues and kinds as of a version of the names counter. It is
// not changed once made.
type names struct {
	version int64
	queues  lines
	kinds   lines
}

// lines are the rows of one table of names.
type lines struct {
	byName map[string]*line
	byID   map[int64]*line
}

// line is a queue or a kind.
type line struct {
	id     int64
	name   string
	paused bool
	keep   offstage.Retention // of a kind
}

func (l *lines) add(n *line) {
	if l.byName == nil {
		l.byName, l.byID = map[string]*line{}, map[int64]*line{}
	}
	l.byName[n.name], l.byID[n.id] = n, n
}

const (
	sqlQueues   = `SELECT id, name, paused FROM offstage_queue`
	sqlKinds    = `SELECT id, name, paused, keep_completed, keep_failed FROM offstage_kind`
	sqlAddQueue = `INSERT INTO offstage_queue (id, name) VALUES (?, ?)`
	sqlAddKind  = `INSERT INTO offstage_kind (id, name) VALUES (?, ?)`
)

// known returns the queues and kinds as this transaction sees them.
func (t *tx) known() (*names, error) {
	if err := t.load(); err != nil {
		return nil, err
	}
	if t.names != nil && t.names.version == t.count.names {
		return t.names, nil
	}
	return t.readNames()
}

// readNames is apart from known, which every job calls, for what it allocates.
func (t *tx) readNames() (*names, error) {
	n := &names{version: t.count.names}
	for r, err := range t.rows(sqlQueues) {
		if err != nil {
			return nil, err
		}
		n.queues.add(&line{id: r.num(0), name: r.text(1), paused: r.yes(2)})
	}
	for r, err := range t.rows(sqlKinds) {
		if err != nil {
			return nil, err
		}
		keep := offstage.Retention{Completed: time.Duration(r.num(3)), Failed: time.Duration(r.num(4))}
		n.kinds.add(&line{id: r.num(0), name: r.text(1), paused: r.yes(2), keep: keep})
	}
	t.names = n
	return n, nil
}

// queue returns the line of a queue, and makes it if it is new. SQLite has one
// writer at a time, so a new name may be made in a caller's transaction: it
// locks nobody out that was not, and goes if the caller rolls back.
func (t *tx) queue(name string) (*line, error) {
	n, err := t.known()
	if err != nil {
		return nil, err
	}
	if q := n.queues.byName[name]; q != nil {
		return q, nil
	}
	q := &line{id: int64(len(n.queues.byName)) + 1, name: name}
	if _, err := t.exec(sqlAddQueue, q.id, q.name); err != nil {
		return nil, err
	}
	return q, t.rename(func(n *names) { n.queues.add(q) })
}

// kind is queue for kinds.
func (t *tx) kind(name string) (*line, error) {
	n, err := t.known()
	if err != nil {
		return nil, err
	}
	if k := n.kinds.byName[name]; k != nil {
		return k, nil
	}
	k := &line{id: int64(len(n.kinds.byName)) + 1, name: name}
	if _, err := t.exec(sqlAddKind, k.id, k.name); err != nil {
		return nil, err
	}
	return k, t.rename(func(n *names) { n.kinds.add(k) })
}

// rename changes a copy of the names, under a new version.
func (t *tx) rename(change func(*names)) error {
	version, err := t.next(&t.count.names)
	if err != nil {
		return err
	}
	n := &names{version: version, queues: t.names.queues.clone(), kinds: t.names.kinds.clone()}
	change(n)
	t.names = n
	return nil
}

func (l *lines) clone() lines {
	return lines{byName: maps.Clone(l.byName), byID: maps.Clone(l.byID)}
}
