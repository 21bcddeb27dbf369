//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/fleet"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/internal/chaos/plan"
)

// nemesis lets faults strike. Faults of processes may overlap; those of the
// database, and of SQLite's writers, come alone, so that what they cost can be
// measured.
type nemesis struct {
	*campaign
	turns sync.RWMutex // held alone by faults of the database, shared by the others
}

// atOnce is how many faults of processes may be under way.
const atOnce = 2

// act carries a plan out.
func (n *nemesis) act(ctx context.Context, strikes []plan.Strike) error {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, atOnce)
	for i, s := range strikes {
		if !sleep(ctx, s.After) {
			return context.Cause(ctx)
		}
		if i%10 == 0 {
			n.say("%d of %d faults", i, len(strikes))
		}
		slots <- struct{}{}
		under.Go(func() {
			defer func() { <-slots }()
			if err := n.strike(ctx, s); err != nil && ctx.Err() == nil {
				n.say("%s did not strike: %v", s.Fault, err)
			}
		})
	}
	return nil
}

// strike carries one fault out. One that finds no target has not struck, which
// the checker holds against the campaign.
func (n *nemesis) strike(ctx context.Context, s plan.Strike) error {
	dice := rand.New(rand.NewPCG(s.Seed, 0))
	if hit := n.ofDatabase()[s.Fault]; hit != nil {
		n.turns.Lock()
		defer n.turns.Unlock()
		return hit(ctx, dice)
	}
	n.turns.RLock()
	defer n.turns.RUnlock()
	switch s.Fault {
	case plan.KillWorker:
		return n.killWorker(ctx, dice)
	case plan.KillLeader:
		return n.killLeader(ctx)
	case plan.KillProducer:
		return n.killProducer(ctx, dice)
	case plan.StopCont:
		return n.stopCont(ctx, dice)
	case plan.TermDeploy:
		return n.deploy(ctx, dice)
	}
	return fmt.Errorf("there is no fault %q", s.Fault)
}

// How long to look for a target, and how long one has to be up.
const (
	patience = 20 * time.Second
	atWork   = 500 * time.Millisecond
	others   = 2 // workers that must be up beside the target
)

var errNoTarget = errors.New("no process to strike at is up")

// take reserves a process of a role, by chance or by name.
func (n *nemesis) take(ctx context.Context, role string, dice *rand.Rand, named func() string) (*fleet.Slot, *fleet.Process, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		slots := n.crew.of(role)
		up := 0
		for _, slot := range slots {
			if slot.Up() {
				up++
			}
		}
		want := ""
		if named != nil {
			want = named()
		}
		if role != workerRole || up > others {
			for _, i := range dice.Perm(len(slots)) {
				p := slots[i].Take(atWork)
				switch {
				case p == nil:
				case named == nil || p.Name == want:
					return slots[i], p, nil
				default:
					slots[i].Give()
				}
			}
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return nil, nil, context.Cause(ctx)
		}
	}
	return nil, nil, errNoTarget
}

func (n *nemesis) begin(fault, target, how string) {
	n.rec.Write(history.Event{What: history.FaultBegin, Fault: fault, Target: target, How: how})
}

func (n *nemesis) end(fault, target, how string, count int) {
	n.rec.Write(history.Event{What: history.FaultEnd, Fault: fault, Target: target, How: how, Count: count})
}

func (n *nemesis) killWorker(ctx context.Context, dice *rand.Rand) error {
	slot, p, err := n.take(ctx, workerRole, dice, nil)
	if err != nil {
		return err
	}
	defer slot.Give()
	return n.kill(plan.KillWorker, p)
}

func (n *nemesis) kill(fault string, p *fleet.Process) error {
	n.begin(fault, p.Name, history.Kills)
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	n.end(fault, p.Name, history.Kills, 1)
	return nil
}

func (n *nemesis) killLeader(ctx context.Context) error {
	slot, p, err := n.take(ctx, workerRole, rand.New(rand.NewPCG(0, 0)), func() string { return n.leader(ctx) })
	if err != nil {
		return err
	}
	defer slot.Give()
	return n.kill(plan.KillLeader, p)
}

// leader asks the store which worker leads; "" is none.
func (n *nemesis) leader(ctx context.Context) string {
	stats, err := offstage.NewClient(n.world.ground.Store).Stats(ctx)
	if err != nil {
		return ""
	}
	for _, w := range stats.Workers {
		if w.Leads {
			return w.Name
		}
	}
	return ""
}

// killProducer has a producer die in the middle of an enqueue. It has struck if
// a send of its has no answer.
func (n *nemesis) killProducer(ctx context.Context, dice *rand.Rand) error {
	for range 10 {
		slot, p, err := n.take(ctx, producerRole, dice, nil)
		if err != nil {
			return err
		}
		n.begin(plan.KillProducer, p.Name, history.Kills)
		if err = p.Order(doomOrder); err == nil {
			select {
			case <-p.Done():
			case <-time.After(patience):
				err = p.Signal(syscall.SIGKILL)
			}
		}
		slot.Give()
		if err != nil {
			return err
		}
		between, err := history.Unanswered(n.history, p.Name)
		if err != nil {
			return err
		}
		n.end(plan.KillProducer, p.Name, history.Kills, min(between, 1))
		if between > 0 {
			return nil
		}
	}
	return errors.New("ten producers died, none between a send and its answer")
}

// stopCont stops a worker for longer than its lease.
func (n *nemesis) stopCont(ctx context.Context, dice *rand.Rand) error {
	slot, p, err := n.take(ctx, workerRole, dice, nil)
	if err != nil {
		return err
	}
	defer slot.Give()
	n.begin(plan.StopCont, p.Name, history.Pauses)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	sleep(ctx, n.beyondLease(dice))
	err = p.Signal(syscall.SIGCONT)
	n.end(plan.StopCont, p.Name, history.Pauses, 1)
	return err
}

// beyondLease is from one and a half to three leases.
func (n *nemesis) beyondLease(dice *rand.Rand) time.Duration {
	return time.Duration(float64(n.rules().Lease) * (1.5 + 1.5*dice.Float64()))
}

// deploy stops a worker in order; its slot starts another.
func (n *nemesis) deploy(ctx context.Context, dice *rand.Rand) error {
	slot, p, err := n.take(ctx, workerRole, dice, nil)
	if err != nil {
		return err
	}
	defer slot.Give()
	if err := n.stopOne(ctx, p, plan.TermDeploy, history.Stops); err != nil {
		return err
	}
	n.end(plan.TermDeploy, p.Name, history.Stops, 1)
	return nil
}
