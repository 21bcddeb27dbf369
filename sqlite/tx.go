package sqlite

import (
	"github.com/offstagehq/offstage"
)

// tx is a transaction: the writer's, shared by a group of calls, or a caller's.
type tx struct {
	session
	store *Store
	now   int64 // when this call's part began

	count  counters
	loaded bool // count is what the database has, and more
	raised bool // count must be written before the commit
	names  *names

	cancels map[offstage.ID]bool // rows of the cancel table; nil: not loaded
	news    news
	renewed int // statements that only renewed the leadership
}

// counters are what was given out last. The ids of jobs and the places of ready ones
// come from the same counter, job.
type counters struct {
	job, worker, batch, names int64
}

// writerState is what the writer knows between its transactions, as long as
// nobody else commits.
type writerState struct {
	version int64 // PRAGMA data_version: changes when others commit
	count   counters
	loaded  bool
	names   *names
}

func (s *Store) newTx(c *conn) *tx {
	return &tx{session: c, store: s, count: s.mine.count, loaded: s.mine.loaded, names: s.mine.names}
}

// keep remembers what a committed transaction knew, and tells its news.
func (s *Store) keep(t *tx) {
	s.mine.count, s.mine.loaded = t.count, t.loaded
	if t.names != nil {
		s.mine.names = t.names
		s.names.Store(t.names)
	}
	s.site.news.publish(t.news)
	if !s.at.memory {
		s.flow.wrote(s.out.writes)
	}
}

const sqlDataVersion = `PRAGMA data_version`

// hear finds out whether others have committed since it last looked. Then what
// the writer knew may be old, and there may be something new.
func (s *Store) hear(c *conn) error {
	version, err := first(c.rows(sqlDataVersion))
	if err != nil {
		return err
	}
	if changed := version.num(0) != s.mine.version; !changed && !s.heard.Swap(false) {
		return nil
	}
	s.changes.Add(1)
	known := s.mine.version != 0
	s.mine = writerState{version: version.num(0), names: s.mine.names}
	if known && !s.at.memory {
		s.site.news.publish(newsOf(offstage.NewsAny))
	}
	return nil
}

// listen is hear without a transaction, on a file.
func (s *Store) listen() {
	_ = s.hear(s.out) // the next transaction hears it, or says what is wrong
}

// poke makes the writer listen soon. In memory there is only one connection, so
// the application's commits are known without looking.
func (s *Store) poke() {
	if s.at.memory {
		s.heard.Store(true)
		s.site.news.publish(newsOf(offstage.NewsAny))
		return
	}
	s.poked.Store(true)
	s.queue.wake()
}

// A program of an earlier version, which may have the same file open during a deploy,
// counts places apart, in seq: the next number comes after both, and is written as both.
const (
	sqlCounters    = `SELECT max(job, seq), worker, batch, names FROM offstage_counter WHERE one = 1`
	sqlSetCounters = `UPDATE offstage_counter SET job = ?1, seq = ?1, worker = ?2, batch = ?3, names = ?4 WHERE one = 1`
)

// load reads the counters, once per transaction and only after others wrote.
func (t *tx) load() error {
	if t.loaded {
		return nil
	}
	r, err := first(t.rows(sqlCounters))
	if err != nil {
		return err
	}
	t.count = counters{r.num(0), r.num(1), r.num(2), r.num(3)}
	t.loaded = true
	return nil
}

// next raises one of the counters of t and returns its new value.
func (t *tx) next(counter *int64) (int64, error) {
	if err := t.load(); err != nil {
		return 0, err
	}
	t.raised = true
	*counter++
	return *counter, nil
}

// flush writes the counters.
func (t *tx) flush() error {
	if !t.raised {
		return nil
	}
	t.raised = false
	_, err := t.exec(sqlSetCounters, t.count.job, t.count.worker, t.count.batch, t.count.names)
	return err
}

// tell notes news for the time after the commit.
func (t *tx) tell(n offstage.News) { t.news |= newsOf(n) }

// tellEnded notes that jobs have ended, or gone.
func (t *tx) tellEnded() { t.news |= newsEnded }
