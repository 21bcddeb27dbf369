package sqlite

import (
	"context"
	"runtime"
	"time"

	"github.com/offstagehq/offstage"
)

// write runs a function in the writer's next transaction and returns when that
// is committed. If the function fails, nothing of it is kept. If ctx ends before
// the writer has begun with it, it is not run; afterwards its answer is waited
// for, so that an ended context always means that nothing was done.
func (s *Store) write(ctx context.Context, name string, run func(*tx) error) error {
	return s.writeMany(ctx, name, 1, run)
}

// writeMany is write for about weight rows.
func (s *Store) writeMany(ctx context.Context, name string, weight int, run func(*tx) error) error {
	return s.writeOp(ctx, name, &op{run: run, weight: weight, done: make(chan struct{})})
}

func (s *Store) writeOp(ctx context.Context, name string, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.queue.push(o) {
		return offstage.ErrClosed
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		if s.queue.giveUp(o) {
			return ctx.Err()
		}
		<-o.done
	}
	return fault(name, o.err)
}

// serve is the writer's goroutine. It ends when the queue is closed and empty.
func (s *Store) serve() {
	defer close(s.served)
	for range s.queue.signal {
		for size := 1; s.gather(size); {
			size = s.group()
		}
		if s.poked.Swap(false) {
			s.listen()
		}
		if s.queue.ended() {
			return
		}
	}
}

// gather reports whether anything waits. After a group of several it gives
// their callers, who have just been answered, a chance to come back with more,
// so that the next group is as large. It yields and never waits: a lone caller
// is not delayed, and no time passes in virtual time.
func (s *Store) gather(size int) bool {
	for range 8 * size {
		if s.queue.waiting() >= size || size == 1 {
			break
		}
		runtime.Gosched()
	}
	return s.queue.waiting() > 0
}

// group commits what waits in one transaction and returns how much it was. If
// that fails, each op gets a transaction of its own, so that none fails for
// another's data.
func (s *Store) group() int {
	c, end, err := s.begin()
	ops := s.queue.take()
	if err == nil {
		err = s.perform(c, ops)
		end()
		if err != nil && len(ops) > 1 && !s.hasFailed() {
			for _, o := range ops {
				s.alone(o)
			}
			return len(ops)
		}
	}
	answer(ops, err)
	return len(ops)
}

// alone runs one op in its own transaction.
func (s *Store) alone(o *op) {
	c, end, err := s.begin()
	if err == nil {
		err = s.perform(c, []*op{o})
		end()
	}
	answer([]*op{o}, err)
}

func answer(ops []*op, err error) {
	for _, o := range ops {
		if err != nil {
			o.err = err
		}
		close(o.done)
	}
}

// begin takes the writer's turn and starts a transaction.
func (s *Store) begin() (c *conn, end func(), err error) {
	if s.hasFailed() {
		return nil, nil, errFailed
	}
	c, giveBack := s.out, func() {}
	if s.at.memory {
		if c, giveBack, err = s.borrow(context.Background()); err != nil {
			return nil, nil, err
		}
	}
	if err = s.site.gate.lock(context.Background()); err == nil {
		if err = c.do(sqlBegin); err == nil {
			return c, func() { s.mustUnlock(); giveBack() }, s.hear(c)
		}
		s.mustUnlock()
	}
	giveBack()
	return nil, nil, err
}

// mustUnlock lets the next writer have its turn. An unlock of an open lock file
// cannot fail; if it did, others would wait for ever, so this store gives up.
func (s *Store) mustUnlock() {
	if s.site.gate.unlock() != nil {
		s.fail()
	}
}

// commit commits, and notes when, so that the watch on the log knows whose doing
// it was.
func (s *Store) commit(c *conn) error {
	s.writing.Store(true)
	err := c.do(sqlCommit)
	s.wroteAt.Store(time.Now().UnixNano())
	s.writing.Store(false)
	return err
}

// perform runs the ops and commits. On an error nothing of them was kept. An op
// that fails before it has written anything fails alone.
func (s *Store) perform(c *conn, ops []*op) error {
	t, wrote := s.newTx(c), c.writes
	err := func() error {
		if err := carryOut(t, c, ops); err != nil {
			return err
		}
		if err := t.flush(); err != nil {
			return err
		}
		return s.commit(c)
	}()
	if err != nil {
		_ = c.do(sqlRollback) // fails only when SQLite has rolled back by itself
		s.mine = writerState{version: s.mine.version}
		if lostWrites(err) {
			s.fail()
		}
		return err
	}
	if c.writes-wrote > t.renewed {
		s.commits.Add(1)
	}
	s.keep(t)
	return nil
}

// carryOut runs the ops, one after the other; inserts that are side by side are one.
func carryOut(t *tx, c *conn, ops []*op) error {
	for len(ops) > 0 {
		t.now = time.Now().UnixMicro()
		n := inserts(ops)
		if n > 1 {
			if err := t.insertTogether(ops[:n]); err != nil {
				return err
			}
			ops = ops[n:]
			continue
		}
		o, before := ops[0], c.writes
		if o.err = o.run(t); o.err != nil && (c.writes != before || codeOf(o.err) != 0) {
			return o.err
		}
		ops = ops[1:]
	}
	return nil
}
