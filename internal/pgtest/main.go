package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage/internal/pgserver"
)

// Main runs a package's tests, ends the shared servers, checks that no
// goroutine is left, and exits.
func Main(m *testing.M, options ...goleak.Option) {
	mainRuns.Store(true)
	goleak.VerifyTestMain(closing{m}, options...)
}

// closing ends the shared servers between the tests and the search for leaks.
type closing struct{ m *testing.M }

// Run runs the tests and returns their exit code, or 1 if a server did not end.
func (c closing) Run() int {
	code := c.m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// The test binary's state: whether Main has it in hand, the shared servers,
// and the number of the latest database.
var (
	mainRuns atomic.Bool
	shared   = servers{byMajor: map[int]*server{}}
	serial   atomic.Int64
)

// servers are the test binary's clusters, one per version, each started when
// it is first needed.
type servers struct {
	mu      sync.Mutex // guards byMajor
	byMajor map[int]*server
}

type server struct {
	once    sync.Once
	cluster *pgserver.Cluster
	err     error
}

// cluster returns the running cluster of a version. A failed start is not
// tried again: every test of that version fails with its error.
func (s *servers) cluster(install pgserver.Install) (*pgserver.Cluster, error) {
	s.mu.Lock()
	one := s.byMajor[install.Major]
	if one == nil {
		one = &server{}
		s.byMajor[install.Major] = one
	}
	s.mu.Unlock()
	one.once.Do(func() {
		// Not the test's context: the server outlives the test that came first.
		one.cluster, one.err = pgserver.Start(context.Background(), pgserver.Options{Install: install})
	})
	return one.cluster, one.err
}

func (s *servers) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failures []error
	for major, one := range s.byMajor {
		if one.cluster != nil {
			failures = append(failures, one.cluster.Close())
		}
		delete(s.byMajor, major)
	}
	return errors.Join(failures...)
}
