package offstagetest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// maxClaimedArgs is the size beyond which a claim leaves arguments out. Memory
// would not need it, but engines are tested on this store.
const maxClaimedArgs = 8 << 10

// claimKey names a claim.
type claimKey struct {
	worker offstage.WorkerID
	seq    int64
}

// claim is what a worker took at once.
type claim struct {
	jobs []offstage.HeldJob
}

// Claim takes ready jobs for a worker; see [offstage.Queue]. A worker that is
// not registered, or was taken for dead, gets [offstage.ErrGone].
func (s *Store) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.Claim{}, err
	}
	defer s.mu.Unlock()
	if w := s.workers[req.Worker]; w == nil || w.dead {
		return offstage.Claim{}, offstage.ErrGone
	}
	key, now := claimKey{req.Worker, req.Seq}, time.Now()
	taken, answer := &claim{}, offstage.Claim{Seq: req.Seq}
	for i, pool := range req.Pools {
		for range pool.Slots {
			j := s.first(pool.Queues, req.NoSuspects)
			if j == nil {
				break
			}
			j.state, j.arrival, j.claim, j.started = offstage.Running, 0, key, now
			j.claimed++
			taken.jobs = append(taken.jobs, offstage.HeldJob{Job: j.ID, Run: j.run, Errors: j.errors, Lost: j.lost})
			answer.Jobs = append(answer.Jobs, s.handOut(j, i))
		}
	}
	if len(taken.jobs) > 0 {
		s.claims[key] = taken
	}
	return answer, nil
}

// first returns the ready job that comes first in these queues, perhaps among
// those that are no suspects, or nil.
func (s *Store) first(queues []string, noSuspects bool) *job {
	for _, name := range queues {
		q := s.queues[name]
		if q == nil || q.paused {
			continue
		}
		for priority := range q.lanes {
			for band := range q.lanes[priority] {
				if j := s.head(&q.lanes[priority][band], noSuspects); j != nil {
					return j
				}
			}
		}
	}
	return nil
}

func (s *Store) handOut(j *job, pool int) offstage.ClaimedJob {
	out := offstage.ClaimedJob{
		Facts: j.facts(), Pool: pool, Run: j.run, Errors: j.errors, Lost: j.lost,
		KindPaused: s.kindNamed(j.Kind).paused,
	}
	if len(out.Args) > maxClaimedArgs {
		out.Args, out.ArgsDeferred = nil, true
	}
	return out
}

// facts returns the job's facts for somebody else to keep.
func (j *job) facts() offstage.Facts {
	facts := j.Facts
	facts.Args, facts.UniqueKey = bytes.Clone(j.Args), bytes.Clone(j.UniqueKey)
	facts.Extra = cloneExtra(j.Extra)
	return facts
}

// LoadArgs returns a job's arguments; see [offstage.Queue].
func (s *Store) LoadArgs(ctx context.Context, id offstage.ID) ([]byte, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	j := s.find(id)
	if j == nil {
		return nil, offstage.ErrNotFound
	}
	return bytes.Clone(j.Args), nil
}

// Claims lists what a worker holds; see [offstage.Queue].
func (s *Store) Claims(ctx context.Context, worker offstage.WorkerID) ([]offstage.HeldClaim, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var held []offstage.HeldClaim
	for _, seq := range s.seqs(worker) {
		h := offstage.HeldClaim{Seq: seq}
		for _, job := range s.claims[claimKey{worker, seq}].jobs {
			if s.jobs[job.Job].attempt(job.Run) == nil {
				h.Jobs = append(h.Jobs, job)
			}
		}
		held = append(held, h)
	}
	return held, nil
}

// seqs returns the seqs of a worker's claims, ascending.
func (s *Store) seqs(worker offstage.WorkerID) []int64 {
	var seqs []int64
	for key := range s.claims {
		if key.worker == worker {
			seqs = append(seqs, key.seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// releaseClaim forgets a claim, and deleted jobs that only it still named.
func (s *Store) releaseClaim(key claimKey) {
	c := s.claims[key]
	if c == nil {
		return
	}
	delete(s.claims, key)
	for _, held := range c.jobs {
		j := s.jobs[held.Job]
		if j.claimed--; j.deleted && j.claimed == 0 {
			delete(s.jobs, j.ID)
		}
	}
}
