package sqlite

import (
	"sync"
	"time"
)

// still remembers what was found while nobody commits: the answer of a look
// stays right until then, so that an idle process need not look again and again.
// It is used only while the log is watched, for then commits of others are heard.
type still struct {
	mu     sync.Mutex
	leader leader           // guarded by mu: the row of the leader table, as of the latest look or renewal
	found  map[string]found // guarded by mu: by the look's name
}

// found is what a look found.
type found struct {
	commits int64     // as stamp had it before the look
	at      time.Time // of the look
	due     any       // when there will be something to do: microseconds, or nil for never
}

// How long an answer is believed, lest a commit was not heard after all.
const (
	believeDue    = 5 * time.Second // that no job is due
	believeChores = time.Minute     // that there is nothing else to do
)

// stamp returns a number that changes with each commit, and whether all commits
// are heard. Take it before a look.
func (s *Store) stamp() (commits int64, heard bool) {
	return s.commits.Load() + s.changes.Load(), s.watching.Load() > 0
}

// recall returns what a look found, if it still is so, and the leader.
func (s *Store) recall(look string, believe time.Duration) (found, leader, bool) {
	commits, heard := s.stamp()
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	f, known := s.still.found[look]
	return f, s.still.leader, known && heard && f.commits == commits && time.Since(f.at) < believe
}

// remember notes what a look found that began at the stamp.
func (s *Store) remember(look string, commits int64, due any, l leader) {
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	if s.still.found == nil {
		s.still.found = map[string]found{}
	}
	s.still.found[look] = found{commits, time.Now(), due}
	s.still.leader = l
}

// led notes a renewal of the leadership, which is no news to a look.
func (s *Store) led(l leader) {
	s.still.mu.Lock()
	defer s.still.mu.Unlock()
	s.still.leader = l
}
