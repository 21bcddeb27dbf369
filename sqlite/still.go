package sqlite

import (
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// still remembers what was found while nobody commits: the answer of a look
// stays right until then, so that an idle process need not look again and again.
// It is used only while the log is watched, for then commits of others are heard.
type still struct {
	mu     sync.Mutex
	leader leader             // guarded by mu: the row of the leader table, as of the latest look or renewal
	found  map[question]found // guarded by mu
}

// question is what a look asks, and for which worker if that matters.
type question struct {
	text   string
	worker offstage.WorkerID
}

// found is what a look found.
type found struct {
	commits int64     // as stamp had it before the look
	at      time.Time // of the look
	answer  any
}

// How long an answer is believed, lest a commit was not heard after all.
const (
	believeDue    = 5 * time.Second // that no job is due
	believeBeat   = 5 * time.Second // that there is nothing new for a worker
	believeChores = time.Minute     // that there is nothing else to do
)

// stamp returns a number that changes with each commit, and whether all commits
// are heard. Take it before a look.
func (s *Store) stamp() (commits int64, heard bool) {
	return s.commits.Load() + s.changes.Load(), s.watching.Load() > 0
}

// recall returns what a look found, if it still is so, and the leader.
func (s *Store) recall(q question, believe time.Duration) (answer any, l leader, known bool) {
	commits, heard := s.stamp()
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	f, known := s.still.found[q]
	return f.answer, s.still.leader, known && heard && f.commits == commits && time.Since(f.at) < believe
}

// remember notes what a look found that began at the stamp.
func (s *Store) remember(q question, commits int64, answer any) {
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	if s.still.found == nil {
		s.still.found = map[question]found{}
	}
	s.still.found[q] = found{commits, time.Now(), answer}
}

// unlearn drops what was found for a worker that has left.
func (s *Store) unlearn(worker offstage.WorkerID) {
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	delete(s.still.found, question{sqlBeat, worker})
}

// led notes who leads, as a look found it or a renewal made it: the latter is no
// news to a look.
func (s *Store) led(l leader) {
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	s.still.leader = l
}
