package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// The times of the end, after the grace period.
const (
	deafTime = time.Second     // for handlers to heed the end of their context
	stopTime = 2 * time.Second // for everything
)

// group is goroutines that end together.
type group struct {
	wg  sync.WaitGroup
	end context.CancelFunc
}

// begin starts goroutines under a context of their own.
func begin(ctx context.Context, keep ...func(context.Context)) *group {
	ctx, end := context.WithCancel(ctx)
	g := &group{end: end}
	for _, keep := range keep {
		g.wg.Go(func() { keep(ctx) })
	}
	return g
}

// stop ends them and waits for each.
func (g *group) stop() {
	g.end()
	g.wg.Wait()
}

// run is the life of a worker: it begins with what others rely on and ends in
// the opposite order. work outlives ctx, so that what runs can be finished.
func (e *engine) run(ctx context.Context, stop, kill <-chan struct{}) error {
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	fetching, endFetching := context.WithCancel(ctx)
	heeding := begin(fetching, func(ctx context.Context) {
		defer endFetching()
		select {
		case <-ctx.Done():
		case <-stop:
		case <-e.failed:
		}
	})
	defer heeding.stop()
	if s, err := e.join(fetching); s == nil {
		return err
	}

	life := begin(work, e.keepBeating, e.keepWatch, e.keepRescuing, e.keepHandingBack)
	telling := begin(work, e.keepTelling)
	recording := begin(work, e.keepRecording)
	aside := begin(work, e.keepReporting, e.keepDeclaring, func(ctx context.Context) { e.keepLeading(ctx, work) })
	taking := begin(fetching, func(ctx context.Context) { e.keepFetching(ctx, work) }, e.keepWatching)

	<-fetching.Done()
	close(e.stopping)
	graceOver := make(chan struct{})
	limiting := begin(work, func(ctx context.Context) { e.limit(ctx, kill, graceOver, endWork) })
	taking.stop()
	e.awaitHandlers(graceOver)
	deaf, unsettled := e.book.abandon()
	e.recorder.close()
	recording.wg.Wait()
	aside.stop()
	e.handBackDeaf(work, deaf)
	life.stop()
	e.leave(work)
	e.hooks.close()
	telling.wg.Wait()
	limiting.stop()
	endWork()
	close(e.hands.over)
	if len(deaf) == 0 {
		e.hands.running.Wait()
	}
	return e.verdict(deaf, unsettled)
}

// limit cancels the handlers when the grace period is over, and everything else
// when the time for that is over as well.
func (e *engine) limit(ctx context.Context, kill <-chan struct{}, graceOver chan<- struct{}, endWork func()) {
	grace := time.NewTimer(e.config.Grace)
	defer grace.Stop()
	select {
	case <-ctx.Done():
		return
	case <-grace.C:
	case <-kill:
	case <-e.failed:
	}
	e.book.cancelAll(nil, offstage.ErrShutdown)
	close(graceOver)
	if pause(ctx, stopTime, nil) {
		endWork()
	}
}

// awaitHandlers returns when all attempts have ended, or when those that have
// not were given the time to heed the end of their context.
func (e *engine) awaitHandlers(graceOver <-chan struct{}) {
	var deaf <-chan time.Time
	for e.book.running() > 0 {
		select {
		case <-e.book.quiet:
		case <-graceOver:
			graceOver, deaf = nil, time.After(deafTime)
		case <-deaf:
			return
		}
	}
}

// handBackDeaf frees the jobs of handlers that ignored the end of their context.
// It is the last that this process writes of jobs: from now on they may run
// elsewhere.
func (e *engine) handBackDeaf(work context.Context, deaf []*attempt) {
	groups := map[*session][]*entry{}
	for _, a := range deaf {
		groups[a.claim.session] = append(groups[a.claim.session], a.entry(nil, offstage.Result{
			Job: a.job.ID, Run: a.job.Run, Claim: a.claim.seq, Errors: a.job.Errors, Lost: a.job.Lost, Started: true,
			Outcome: offstage.OutcomeInterrupted, Next: offstage.Ready,
			Error: "the handler ignored the end of its context; the worker has left without it",
		}))
	}
	for _, group := range groups {
		if err := e.flush(work, group, &patience{}); err != nil {
			e.log.Warn("offstage: jobs of deaf handlers were not handed back; they run again after a lease", "error", err)
		}
	}
}

// leave makes the store forget this worker.
func (e *engine) leave(work context.Context) {
	s := e.lease.current()
	if s == nil {
		return
	}
	if err := e.store.Unregister(work, s.id); err != nil && !errors.Is(err, offstage.ErrGone) {
		e.log.Warn("offstage: the worker could not sign off; its lease runs out", "error", err)
	}
}

// verdict is what Run returns.
func (e *engine) verdict(deaf []*attempt, unsettled int) error {
	var errs []error
	select {
	case <-e.failed:
		errs = append(errs, e.failure)
	default:
	}
	if len(deaf) > 0 {
		var names []string
		for _, a := range deaf {
			names = append(names, fmt.Sprintf("%s (job %d)", a.job.Kind, a.job.ID))
		}
		slices.Sort(names)
		errs = append(errs, fmt.Errorf("worker: handlers ignored the end of their context: %s", strings.Join(names, ", ")))
	}
	if waiting, _, _ := e.recorder.backlog(e.slots); waiting+unsettled > 0 {
		errs = append(errs, fmt.Errorf("worker: the store did not take %d results; their jobs run again", waiting+unsettled))
	}
	return errors.Join(errs...)
}
