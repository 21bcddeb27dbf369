package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// scenario is one question that is put to every system.
type scenario struct {
	key     string // on SQLite "sqlite/" comes before it
	what    string // for people
	unit    string
	once    bool     // measured once and not in every round
	core    bool     // comes before the others when time is short
	low     bool     // less is better
	all     bool     // shown at every system's defaults too
	servers []server // nil: all
	local   bool     // also for systems without workers in other processes
	measure func(ctx context.Context, st *stage) (run, error)
}

// scenarios in the order in which they are measured: what is compared with the drain
// comes right after it, and those of five minutes at the end, since a machine is slower
// after them.
var scenarios = []*scenario{
	{key: "insert1", what: "1 caller inserts one by one", unit: "jobs/s", core: true, local: true, measure: insert1},
	{key: "insert16", what: "16 callers insert one by one", unit: "jobs/s", core: true, local: true, measure: insert16},
	{key: "bulk", what: "1 caller inserts 1,000 per call", unit: "jobs/s", core: true, local: true, measure: bulk},
	{key: "unique", what: "16 callers insert one by one, each job with a key of its own", unit: "jobs/s", measure: unique},
	{key: "drain", what: "preloaded no-op jobs until all are recorded", unit: "jobs/s", core: true, all: true, local: true, measure: drain},
	{key: "backlog", what: "drain of a deep backlog, from its start", unit: "jobs/s", core: true, once: true, local: true, measure: backlog},
	{key: "scheduled", what: "drain beside many jobs of the future", unit: "jobs/s", once: true, measure: scheduled},
	{key: "queues50", what: "drain of 50 queues", unit: "jobs/s", once: true, measure: queues50},
	{key: "rtt2ms", what: "drain over a network with 2 ms round trip", unit: "jobs/s", once: true, local: true, servers: []server{onPostgres}, measure: rtt2ms},
	{key: "workers4", what: "drain by 4 processes", unit: "jobs/s", measure: workers4},
	{key: "retries", what: "drain of jobs that fail and will be retried later", unit: "jobs/s", measure: retries},
	{key: "busy1ms", what: "drain of jobs of 1 ms, default slots", unit: "jobs/s", measure: busy1ms},
	{key: "steady", what: "insert 1,000 per call while working, history kept", unit: "jobs/s", core: true, local: true, measure: steady},
	{key: "latency", what: "from before Enqueue to the handler's first line, idle, default slots", unit: "ms (p50)", core: true, low: true, all: true, local: true, measure: latency},
	{key: "latency50", what: "as latency, at half of the steady rate", unit: "ms (p50)", low: true, once: true, measure: latency50},
	{key: "wal", what: "write-ahead log per job, inserted in bulk, worked and kept", unit: "bytes/job", core: true, low: true, once: true, local: true, servers: []server{onPostgres}, measure: wal},
	{key: "memory", what: "resident memory of steady work at 1,000 slots, GOGC as it comes", unit: "MB", low: true, once: true, local: true, measure: memory},
	{key: "idle", what: "processor time of an idle worker process", unit: "% of a core", core: true, low: true, once: true, all: true, measure: idle},
	{key: "calm", what: "steady for as long as held and idletx, undisturbed: the rate at the end", unit: "jobs/s", once: true, local: true, servers: []server{onPostgres}, measure: calm},
	{key: "held", what: "steady under a held REPEATABLE READ snapshot: the rate at the end", unit: "jobs/s", core: true, once: true, local: true, servers: []server{onPostgres}, measure: held},
	{key: "idletx", what: "steady beside a transaction that wrote and stays open: the rate at the end", unit: "jobs/s", once: true, local: true, servers: []server{onPostgres}, measure: idleTx},
}

// size says how much is measured.
type size struct {
	rounds     int     // of the scenarios that are repeated
	insert     float64 // seconds of an insert
	drain      int     // jobs of a drain
	limit      float64 // the longest drain, in seconds
	steady     float64 // seconds
	probes     int     // timed jobs
	disturbed  float64 // seconds of held and idletx, for Offstage
	rivals     float64 // the same, for the others
	idle       float64 // seconds
	settling   float64 // seconds before that
	backlog    int     // jobs of backlog and scheduled
	backlogFor float64 // seconds of backlog
	wal        int     // jobs
}

var (
	full = size{
		rounds: 3, insert: 3, drain: 200_000, limit: 60, steady: 60, probes: 500, disturbed: 300, rivals: 60,
		idle: 30, settling: 15, backlog: 1_000_000, backlogFor: 15, wal: 100_000,
	}
	quick = size{
		rounds: 3, insert: 0.7, drain: 60_000, limit: 8, steady: 2, probes: 100, disturbed: 8, rivals: 8,
		idle: 5, settling: 3, backlog: 200_000, backlogFor: 3, wal: 20_000,
	}
	tiny = size{ // tries the program, measures nothing
		rounds: 1, insert: 0.1, drain: 3_000, limit: 8, steady: 0.3, probes: 5, disturbed: 1, rivals: 1,
		idle: 0.5, settling: 0.2, backlog: 5_000, backlogFor: 1, wal: 2_000,
	}
)

// task is a scenario with the systems that take turns in it, which are on the
// same server.
type task struct {
	key string
	*scenario
	systems []*system
}

// hurry puts the core first, on all servers: what comes last may not be measured.
func hurry(tasks []task) {
	place := func(t task) int {
		if t.core {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return place(a) - place(b) })
}

// plan lists what to measure, in order, on PostgreSQL and then on SQLite. Only names
// single scenarios; empty means all.
func plan(systems []*system, only []string) ([]task, error) {
	var tasks []task
	for _, server := range []server{onPostgres, onSQLite} {
		for _, sc := range scenarios {
			key := sc.keyOn(server)
			if len(only) > 0 && !slices.Contains(only, key) {
				continue
			}
			if fits := sc.of(systems, server); len(fits) > 0 {
				tasks = append(tasks, task{key, sc, fits})
			}
		}
	}
	for _, key := range only {
		if !slices.Contains(scenarioKeys(), key) {
			return nil, fmt.Errorf("there is no scenario %q; there are %s", key, strings.Join(scenarioKeys(), ", "))
		}
	}
	return tasks, nil
}

func (sc *scenario) keyOn(s server) string {
	if s == onSQLite {
		return "sqlite/" + sc.key
	}
	return sc.key
}

// of returns the systems of a server's group that the scenario is for.
func (sc *scenario) of(systems []*system, on server) (fits []*system) {
	for _, s := range systems {
		able := sc.servers == nil || slices.Contains(sc.servers, s.server)
		if able && s.group() == on && (sc.all || !s.defaults) && (sc.local || !s.local) {
			fits = append(fits, s)
		}
	}
	return fits
}

func scenarioKeys() (keys []string) {
	for _, server := range []server{onPostgres, onSQLite} {
		for _, sc := range scenarios {
			if sc.servers == nil || slices.Contains(sc.servers, server) {
				keys = append(keys, sc.keyOn(server))
			}
		}
	}
	return keys
}
