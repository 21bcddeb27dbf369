//go:build linux

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/internal/chaos/load"
	"github.com/offstagehq/offstage/internal/chaos/plan"
	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/tcpproxy"
)

// The two sides of pg-cut-commit, as they are counted.
const (
	cutEnqueue = plan.PgCutCommit + "-enqueue"
	cutFinish  = plan.PgCutCommit + "-completion"
)

// ofDatabase are the faults that come alone.
func (n *nemesis) ofDatabase() map[string]func(context.Context, *rand.Rand) error {
	faults := map[string]func(context.Context, *rand.Rand) error{
		plan.PgKill9: func(ctx context.Context, dice *rand.Rand) error {
			return n.outage(ctx, plan.PgKill9, func() error {
				return n.down(ctx, dice, n.world.cluster.Kill9)
			})
		},
		plan.PgRestart: func(ctx context.Context, dice *rand.Rand) error {
			mode := []pgserver.Mode{pgserver.Fast, pgserver.Immediate}[dice.IntN(2)]
			return n.outage(ctx, plan.PgRestart, func() error {
				return n.down(ctx, dice, func() error { return n.world.cluster.Stop(ctx, mode) })
			})
		},
		plan.PgTerminate: func(ctx context.Context, _ *rand.Rand) error {
			return n.outage(ctx, plan.PgTerminate, func() error {
				_, err := n.world.cluster.TerminateBackends(ctx)
				return err
			})
		},
		plan.PgCutCommit: n.cutCommits,
		plan.PgPartition: n.partition,
	}
	if n.store == load.SQLite {
		// A stopped process may hold the lock for which all others wait.
		faults[plan.StopCont] = n.stopCont
	}
	return faults
}

// down takes the server down for up to two seconds. Mostly the clients are
// refused meanwhile, as by a machine on which nobody listens; else they are
// connected and cut, as by a load balancer before a server that is away.
func (n *nemesis) down(ctx context.Context, dice *rand.Rand, stop func() error) error {
	if dice.IntN(3) > 0 {
		for _, proxy := range n.world.proxies {
			if err := proxy.Refuse(); err != nil {
				return err
			}
		}
	}
	if err := stop(); err != nil {
		return err
	}
	sleep(ctx, time.Duration(dice.IntN(2000))*time.Millisecond)
	return errors.Join(n.world.cluster.Start(ctx), n.world.heal())
}

// calm is how long nothing strikes after an outage, so that its end can be seen.
const calm = 4 * time.Second

func (n *nemesis) outage(ctx context.Context, fault string, hit func() error) error {
	n.begin(fault, "", history.Outage)
	if err := hit(); err != nil {
		return err
	}
	n.end(fault, "", history.Outage, 1)
	sleep(ctx, calm)
	return nil
}

// partition loses all that one worker says and hears, beyond its lease.
func (n *nemesis) partition(ctx context.Context, dice *rand.Rand) error {
	slot, p, err := n.take(ctx, workerRole, dice, nil)
	if err != nil {
		return err
	}
	defer slot.Give()
	n.begin(plan.PgPartition, p.Name, "")
	proxy := n.world.proxies[slot.Name]
	proxy.Blackhole()
	sleep(ctx, n.beyondLease(dice))
	err = proxy.Resume()
	n.end(plan.PgPartition, p.Name, "", 1)
	return err
}

// How pg-cut-commit goes: every so many commits, for as long, or until both
// sides were struck as often as was asked for.
const (
	cutEvery = 4
	cutFor   = 2 * time.Second
	cutMost  = 20 * time.Minute
)

// The statements whose commits are cut: what stores a job, what ends an attempt.
const (
	enqueues = "INSERT INTO offstage.job"
	finishes = "INSERT INTO offstage.attempt"
)

// cutCommits cuts connections after COMMIT and before the answer.
func (n *nemesis) cutCommits(ctx context.Context, _ *rand.Rand) error {
	n.begin(plan.PgCutCommit, "", "")
	sides := map[string]*side{
		cutEnqueue: {proxies: n.world.of(producerRole), statement: enqueues},
		cutFinish:  {proxies: n.world.of(workerRole), statement: finishes},
	}
	for _, s := range sides {
		s.cut()
	}
	for began := time.Now(); ctx.Err() == nil; sleep(ctx, 50*time.Millisecond) {
		least, limit := 1, cutMost
		if n.unknown > 0 {
			least = n.unknown
		}
		enough := sides[cutEnqueue].struck() >= least && sides[cutFinish].struck() >= least
		if n.unknown == 0 {
			enough = time.Since(began) >= cutFor
		}
		if enough || time.Since(began) >= limit {
			break
		}
	}
	for fault, s := range sides {
		s.stop()
		n.end(fault, "", "", s.struck())
	}
	return nil
}

// side is the connections of one role.
type side struct {
	proxies   []*tcpproxy.Proxy
	statement string
	before    int
}

func (s *side) cut() {
	s.before = s.total()
	for _, proxy := range s.proxies {
		seen := 0
		proxy.CutAfter(func(sql string) bool {
			if !strings.Contains(sql, s.statement) {
				return false
			}
			seen++
			return seen%cutEvery == 0
		})
	}
}

func (s *side) stop() {
	for _, proxy := range s.proxies {
		proxy.CutAfter(nil)
	}
}

// struck is how often it struck since cut.
func (s *side) struck() int { return s.total() - s.before }

func (s *side) total() (n int) {
	for _, proxy := range s.proxies {
		n += proxy.Struck()[tcpproxy.FaultCutAfter]
	}
	return n
}
