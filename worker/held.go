package worker

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/offstagehq/offstage"
)

// strays are claims that the store holds for this process without its knowing:
// their answers were lost. It hands them back.
type strays struct {
	mu      sync.Mutex
	session *session       // guarded by mu: whose they are
	seen    map[int64]bool // guarded by mu: unknown at the last beat
	found   map[int64]bool // guarded by mu: to be handed back
	more    signal
}

// compare holds what the store believes that this process has against what it
// believes itself. believed are the claims that had open attempts when the beat
// was sent: those can have gone only by another's hand.
//
// A claim that the process does not know may just have been released, between
// the store's answer and now; so it counts only when two beats have seen it, or
// when its claim call is known to have failed.
func (e *engine) compare(s *session, believed map[int64]bool, held []int64) {
	t := e.strays
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		t.session, t.seen, t.found = s, nil, map[int64]bool{}
	}
	seen := map[int64]bool{}
	for _, seq := range held {
		delete(believed, seq)
		known, sure := e.book.knows(s, seq)
		if known {
			continue
		}
		seen[seq] = true
		if sure || t.seen[seq] {
			t.found[seq] = true
			t.more.set()
		}
	}
	t.seen = seen
	if n := e.book.cancelClaims(s, believed, offstage.ErrLeaseLost); n > 0 {
		e.log.Warn("offstage: claims of this worker are gone; their jobs are cancelled here", "jobs", n)
	}
}

func (t *strays) take() (s *session, seqs map[int64]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, seqs = t.session, t.found
	t.found = map[int64]bool{}
	return s, seqs
}

// keepHandingBack hands back the jobs of stray claims, until ctx ends. What
// fails is found again by the next beats.
func (e *engine) keepHandingBack(ctx context.Context) {
	trouble := trouble{log: e.log, what: "look up claims"}
	for pause(ctx, forever, e.strays.more) {
		s, seqs := e.strays.take()
		if len(seqs) == 0 {
			continue
		}
		call, cancel := context.WithTimeout(ctx, callTime)
		claims, err := e.store.Claims(call, s.id)
		cancel()
		if ctx.Err() != nil {
			return
		}
		trouble.note(err)
		for _, held := range claims {
			if seqs[held.Seq] {
				e.handBack(s, held)
			}
		}
	}
}

func (e *engine) handBack(s *session, held offstage.HeldClaim) {
	c := e.book.adopt(s, held.Seq, len(held.Jobs))
	if c == nil {
		return
	}
	e.log.Info("offstage: a claim whose answer was lost is handed back", "claim", held.Seq, "jobs", len(held.Jobs))
	if len(held.Jobs) == 0 {
		e.recorder.add(&entry{claim: c, attempt: &attempt{}})
		return
	}
	entries := make([]*entry, 0, len(held.Jobs))
	for _, job := range held.Jobs {
		stray := &attempt{claim: c, job: offstage.Job[json.RawMessage]{Facts: offstage.Facts{ID: job.Job}}}
		entries = append(entries, stray.entry(nil, offstage.Result{
			Job: job.Job, Run: job.Run, Claim: held.Seq, Errors: job.Errors, Lost: job.Lost,
			Outcome: offstage.OutcomeInterrupted, Next: offstage.Ready,
			Error: "the answer to the claim was lost",
		}))
	}
	e.recorder.add(entries...)
}
