package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/offstagehq/offstage/bench/agent"
)

// stage is one measurement of one system: an empty store and the processes on
// it. It must be closed.
type stage struct {
	system  *system
	size    size
	label   string // names it in files and messages
	profile string // the folder for profiles; "": none
	plain   bool   // systems in Go run under Go's own settings
	result  *results

	db       *database // nil unless on PostgreSQL
	url      string
	line     *line // between the systems and their database; nil: none
	actors   []*agent.Process
	settings string // as the system states them
}

// openStage makes the store.
func openStage(ctx context.Context, b *bench, s *system, label string) (*stage, error) {
	st := &stage{system: s, size: b.size, label: label, profile: b.profile, result: b.results}
	var err error
	switch s.server {
	case onPostgres:
		if st.db, err = b.postgres.newDatabase(ctx); err == nil {
			st.url = st.db.url
		}
	case onSQLite:
		st.url, err = newFile()
	default:
		st.url, err = b.redis[s.server].url(), b.redis[s.server].flush(ctx)
	}
	return st, err
}

// actor starts a process of the system and opens it. Slots 0 leaves the choice
// to the system.
func (st *stage) actor(ctx context.Context, env agent.Env) (*agent.Process, error) {
	if env.URL == "" {
		env.URL = st.url
	}
	if !st.system.slots || st.system.defaults {
		env.Slots = 0
	}
	profile := ""
	if st.profile != "" {
		profile = filepath.Join(st.profile, fmt.Sprintf("%s-%d", st.label, len(st.actors)))
	}
	tuned := st.system.tuned() && !st.plain
	p, err := agent.Start(ctx, st.system.id(), st.system.command(profile, tuned))
	if err != nil {
		return nil, err
	}
	st.actors = append(st.actors, p)
	opened, err := agent.Order[agent.Opened](ctx, p, "open", env)
	st.settings = opened.Settings
	if tuned {
		st.settings += ", " + gogc
	}
	return p, err
}

// warm is an actor that has inserted and worked off a few jobs.
func (st *stage) warm(ctx context.Context, env agent.Env) (*agent.Process, error) {
	p, err := st.actor(ctx, env)
	if err != nil {
		return nil, err
	}
	jobs := max(int(2000*st.system.share), 200)
	if _, err := st.insert(ctx, p, agent.InsertOrder{Jobs: jobs, Callers: 4, Size: 50}); err != nil {
		return nil, err
	}
	if err := st.work(ctx, p, agent.WorkOrder{}); err != nil {
		return nil, err
	}
	if _, err := st.finish(ctx, p, jobs, 60); err != nil {
		return nil, err
	}
	return p, st.stop(ctx, p)
}

// jobs is the usual number of jobs, cut down for slow systems.
func (st *stage) jobs(usual int) int { return int(float64(usual) * st.system.share) }

func (st *stage) insert(ctx context.Context, p *agent.Process, order agent.InsertOrder) (agent.Count, error) {
	return agent.Order[agent.Count](ctx, p, "insert", order)
}

// preload inserts jobs in bulk and settles the database.
func (st *stage) preload(ctx context.Context, p *agent.Process, order agent.InsertOrder) error {
	order.Callers, order.Size = 2, 1000
	if _, err := st.insert(ctx, p, order); err != nil {
		return err
	}
	return st.settle(ctx)
}

func (st *stage) settle(ctx context.Context) error {
	if st.db == nil {
		return nil
	}
	return st.db.settle(ctx)
}

func (st *stage) work(ctx context.Context, p *agent.Process, order agent.WorkOrder) error {
	_, err := agent.Order[any](ctx, p, "work", order)
	return err
}

func (st *stage) stop(ctx context.Context, p *agent.Process) error {
	_, err := agent.Order[any](ctx, p, "stop", nil)
	return err
}

func (st *stage) finish(ctx context.Context, p *agent.Process, jobs int, seconds float64) (agent.Count, error) {
	return agent.Order[agent.Count](ctx, p, "finish", agent.FinishOrder{Jobs: jobs, Seconds: seconds})
}

// drain preloads jobs, then lets the system work and returns how that went.
func (st *stage) drain(ctx context.Context, p *agent.Process, order agent.InsertOrder, work agent.WorkOrder) (agent.Count, error) {
	if err := st.preload(ctx, p, order); err != nil {
		return agent.Count{}, err
	}
	if err := st.work(ctx, p, work); err != nil {
		return agent.Count{}, err
	}
	return st.finish(ctx, p, order.Jobs, st.size.limit)
}

// close ends the processes and removes the store.
func (st *stage) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	if st.profile != "" && st.db != nil {
		errs = append(errs, st.db.writeTop(ctx, filepath.Join(st.profile, st.label+"-statements.txt")))
	}
	for _, p := range st.actors {
		errs = append(errs, p.Close())
	}
	if st.line != nil {
		st.line.close()
	}
	switch {
	case st.db != nil:
		errs = append(errs, st.db.drop(ctx))
	case st.system.server == onSQLite && st.url != "":
		errs = append(errs, os.RemoveAll(filepath.Dir(st.url)))
	}
	return errors.Join(errs...)
}
