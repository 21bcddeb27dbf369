package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// Producer is one process that enqueues.
type Producer struct {
	Name     string
	Rate     float64 // enqueues a second
	Seed     uint64
	Only     []string // the kinds to enqueue; none: all
	Ground   *Ground
	Recorder *history.Recorder
	// Doom tells the producer to die in the middle of its next enqueue, by Die,
	// which kills this process at once.
	Doom <-chan struct{}
	Die  func()

	client *offstage.Client
	keys   atomic.Int64
	took   atomic.Int64 // the latest call of the store
	doomed atomic.Bool
}

const (
	lines       = 8 // enqueues at once
	callTimeout = 10 * time.Second
	// lastTries is how long an enqueue that has to be repeated is repeated once
	// the producer was told to stop.
	lastTries = 15 * time.Second
)

// Run enqueues until ctx ends and every call was answered.
func (p *Producer) Run(ctx context.Context) {
	p.client = offstage.NewClient(p.Ground.Store)
	p.Recorder.Write(history.Event{What: history.Up})
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		select {
		case <-p.Doom:
			p.doomed.Store(true)
		case <-ctx.Done():
		}
	})
	for line := range lines {
		work.Go(func() { p.produce(ctx, rand.New(rand.NewPCG(p.Seed, uint64(line)))) })
	}
}

// produce enqueues one job after the other, at times that are those of a Poisson
// process as long as the store keeps up.
func (p *Producer) produce(ctx context.Context, dice *rand.Rand) {
	mean := float64(time.Second) * lines / p.Rate
	for {
		timer := time.NewTimer(time.Duration(dice.ExpFloat64() * mean))
		select {
		case <-timer.C:
			p.enqueue(ctx, p.roll(dice), dice)
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// offer is a job to be enqueued.
type offer struct {
	kind    string
	task    Task
	options []offstage.Option
	wait    time.Duration
	count   int // of a sequence
}

// roll makes up the next job.
func (p *Producer) roll(dice *rand.Rand) offer {
	kind := p.rollKind(dice)
	most := kinds[kind].task
	o := offer{kind: kind, task: Task{
		Key: fmt.Sprintf("%s/%d", p.Name, p.keys.Add(1)),
		MS:  dice.IntN(most.MS + 1), Fails: dice.IntN(most.Fails + 1),
	}}
	o.options = []offstage.Option{offstage.InQueue(queues[dice.IntN(len(queues))]), offstage.Priority(dice.IntN(offstage.MaxPriority + 1))}
	switch kind {
	case slow:
		o.task.MS = max(o.task.MS, 100)
	case called:
		o.task.MS = max(o.task.MS, 500)
	case deaf:
		o.task.MS = max(o.task.MS, 2000)
	case later:
		o.wait = time.Duration(50+dice.IntN(1500)) * time.Millisecond
		o.options = append(o.options, offstage.After(o.wait))
	case single:
		o.task.Unique = fmt.Sprintf("single %d", dice.IntN(20))
		o.options = append(o.options, offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: o.task.Unique}))
	case once:
		o.task.Unique = o.task.Key
		o.options = append(o.options, offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: o.task.Unique, Period: 24 * time.Hour}))
	case bulk:
		o.count = 2 + dice.IntN(50)
		if dice.IntN(20) == 0 {
			o.count = 1100 // more than are stored at once
		}
	}
	return o
}

func (p *Producer) rollKind(dice *rand.Rand) string {
	if len(p.Only) > 0 {
		return p.Only[dice.IntN(len(p.Only))]
	}
	n := dice.IntN(10_000)
	for _, kind := range []string{slow, flaky, later, single, once, paired, effect, snoozed, called, deaf, broken, poison, glutton, bulk, stepped, patient} {
		if n -= kinds[kind].share; n < 0 {
			return kind
		}
	}
	return quick
}

// enqueue enqueues a job in the way of its kind.
func (p *Producer) enqueue(ctx context.Context, o offer, dice *rand.Rand) {
	switch o.kind {
	case paired:
		p.enqueuePaired(ctx, o, dice.IntN(4) == 0)
	case bulk:
		p.record(o, p.send(ctx, o, p.sendBulk))
	case once:
		p.enqueueOnce(ctx, o)
	case called:
		if a := p.send(ctx, o, p.sendOne); p.record(o, a) {
			p.callOff(ctx, a.receipt.ID, time.Duration(dice.IntN(600))*time.Millisecond)
		}
	case patient:
		if p.record(o, p.send(ctx, o, p.sendOne)) {
			p.signal(ctx, o.task.Key, time.Duration(dice.IntN(2000))*time.Millisecond)
		}
	default:
		p.record(o, p.send(ctx, o, p.sendOne))
	}
}

// answer is what came back from an enqueue.
type answer struct {
	receipt *offstage.Receipt // nil: of a sequence
	err     error
}

// send calls the store, having said so before. A call is not ended by the
// producer's stop, but by its time. A doomed process does not see the answer,
// or dies soon after: at any time that the call before this one took, however fast
// the disk is.
func (p *Producer) send(ctx context.Context, o offer, call func(context.Context, offer) answer) answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	p.Recorder.Write(history.Event{What: history.Send, Key: o.task.Key, Kind: o.kind, Unique: o.task.Unique, Wait: int64(o.wait), Count: o.count})
	began := time.Now()
	if p.doomed.Load() {
		go func() {
			wait := rand.N(min(max(time.Duration(p.took.Load()), time.Microsecond), 2*time.Millisecond))
			for time.Since(began) < wait { // to sleep would take longer than many a call
			}
			p.Recorder.Write(history.Event{What: history.Suicide})
			p.Die()
		}()
	}
	defer func() { p.took.Store(int64(time.Since(began))) }()
	return call(ctx, o)
}

func (p *Producer) sendOne(ctx context.Context, o offer) answer {
	receipt, err := p.client.Enqueue(ctx, offstage.Named(o.kind, o.task), o.options...)
	return answer{receipt, err}
}

func (p *Producer) sendBulk(ctx context.Context, o offer) answer {
	_, err := p.client.EnqueueMany(ctx, func(yield func(offstage.Args) bool) {
		for i := range o.count {
			task := o.task
			task.Key = fmt.Sprintf("%s/%d", o.task.Key, i)
			if !yield(offstage.Named(o.kind, task)) {
				return
			}
		}
	}, o.options...)
	return answer{nil, err}
}

// record writes an answer down and reports whether it was a good one.
func (p *Producer) record(o offer, a answer) bool {
	e := history.Event{What: history.Ack, Key: o.task.Key, Count: o.count}
	var bad *offstage.InvalidError
	var fault *offstage.StoreError
	switch {
	case errors.As(a.err, &bad):
		e.What, e.Note = history.Refused, a.err.Error()
	case errors.As(a.err, &fault) && fault.Class != offstage.FaultUnknown:
		e.What, e.Note = history.Failed, a.err.Error()
	case a.err != nil:
		e.What, e.Note = history.Unknown, a.err.Error()
	case a.receipt != nil:
		e.Job, e.Existed = a.receipt.ID, a.receipt.Existed
	}
	p.Recorder.Write(e)
	return a.err == nil
}
