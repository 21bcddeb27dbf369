// Package floor holds yardsticks, not queues: the least that a queue of
// Offstage's shape has to do in PostgreSQL and in SQLite. An insert appends a
// job's facts and a ready row; a fetch deletes a batch of ready rows and appends
// one claim row; recording appends attempts and deletes the claim row.
//
// The tables have the columns of Offstage's own, in the same types, as far as
// they are filled on that way, and only the indexes that it needs. There are no
// handlers, arguments are not decoded, nothing is fenced, retried, recovered,
// woken or pruned, and the hint at which a fetch starts would hide jobs whose
// transactions commit late.
package floor

import (
	"fmt"
	"strings"

	"github.com/offstagehq/offstage/bench/agent"
)

const (
	fetchers = 2 // fetch loops at once
	// defaultSlots is how many jobs are in flight in all where nothing is ordered.
	defaultSlots = 1000
)

// args returns the arguments of every job: about 100 bytes.
func args(job *agent.Job) string {
	return fmt.Sprintf(`{"at":%d,"pad":"%s"}`, job.At, pad)
}

var pad = strings.Repeat("x", 62)

// plain refuses what these yardsticks do not have.
func plain(jobs []agent.Job) error {
	for i := range jobs {
		if jobs[i].Queue != "" || jobs[i].Delay != 0 || jobs[i].Key != "" {
			return fmt.Errorf("%w: the floor has neither queues nor delays nor unique jobs", agent.ErrUnable)
		}
	}
	return nil
}
