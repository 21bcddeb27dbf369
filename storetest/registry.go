package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

var registryCases = []Case{
	{"registry/ids", "Register gives each worker an id that was never given before.", registryIDs},
	{"registry/peers", "A beat lists all other registered workers, on every handle.", registryPeers},
	{"registry/counter", "A peer's counter changes with each of its beats and not without.", registryCounter},
	{"registry/cancels", "A beat lists the running jobs that somebody wants cancelled, anybody's, until they have ended.", registryCancels},
	{"registry/due", "A beat that says until when no scheduled job is due does not say too much.", registryDue},
	{"registry/unknown kinds wait", "Register unblocks waiting jobs of its kinds, and of no other.", registryUnblocks},
	{"registry/unregister", "Unregister forgets a worker that holds no claim: nobody sees it, and its beat is ErrGone.", registryUnregister},
	{"registry/unregister with claims", "The claims of a worker that unregistered while it held some are rescued.", registryUnregisterHolding},
	{"registry/claim when gone", "What a worker claims after it was taken for dead is not lost.", registryClaimWhenGone},
}

func registryIDs(r *rig) {
	peer := r.peer()
	seen := map[offstage.WorkerID]bool{}
	for range 5 {
		w := r.worker()
		other := r.workerOn(peer, offstage.WorkerInfo{})
		if seen[w.id] || seen[other.id] || w.id == other.id {
			r.Fatalf("a worker's id was given twice: %d, %d", w.id, other.id)
		}
		seen[w.id], seen[other.id] = true, true
		r.must(r.store.Unregister(r.Context(), w.id), "unregister")
		r.must(peer.Unregister(r.Context(), other.id), "unregister")
	}
}

func registryPeers(r *rig) {
	first, second := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	third := r.worker()
	ids := func(w *worker) []offstage.WorkerID {
		var ids []offstage.WorkerID
		for _, peer := range w.beat().Peers {
			ids = append(ids, peer.ID)
			same(r, "dead", peer.Dead, false)
		}
		slices.Sort(ids)
		return ids
	}
	same(r, "peers of the first", ids(first), []offstage.WorkerID{second.id, third.id})
	same(r, "peers of the second", ids(second), []offstage.WorkerID{first.id, third.id})
}

func registryCounter(r *rig) {
	w, other := r.worker(), r.worker()
	other.beat()
	before, _ := w.sees(other)
	r.pass(time.Second)
	again, _ := w.sees(other)
	same(r, "counter without a beat", again.Counter, before.Counter)
	for range 3 {
		other.beat()
		after, _ := w.sees(other)
		if after.Counter == before.Counter {
			r.Errorf("the counter is %d before and after a beat", after.Counter)
		}
		before = after
	}
}

func registryCancels(r *rig) {
	ids := r.insert(echoes(3)...)
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	jobs := w.take(2)
	for _, id := range ids {
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
	}
	r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: ids[0]})
	for _, beat := range []offstage.Beat{w.beat(), other.beat()} {
		slices.Sort(beat.Cancels)
		same(r, "cancels", beat.Cancels, ids[:2])
	}
	w.counted(jobs[0].ended(offstage.OutcomeCancelled, offstage.Cancelled))
	same(r, "cancels after one has ended", other.beat().Cancels, ids[1:2])
	w.counted(jobs[1].completed())
	same(r, "cancels after all have ended", len(other.beat().Cancels), 0)
}

func registryDue(r *rig) {
	w, peer := r.worker(), r.peer()
	r.insert(echoAfter(time.Hour))
	atMost := func(what string, most time.Duration) {
		r.Helper()
		for range 6 { // a store may answer only after it has promoted for a while
			if due := w.beat().Due; due < 0 || due > most {
				r.Errorf("%s: nothing is due for %s, but for %s at most", what, due, most)
			}
			r.chore(offstage.Promote)
			r.pass(time.Second)
			most -= time.Second
		}
	}
	atMost("an hour before", time.Hour)
	if _, err := peer.Insert(r.Context(), []offstage.NewJob{echoAfter(10 * time.Second)}); err != nil {
		r.Fatal(err)
	}
	atMost("ten seconds before", 10*time.Second)
	r.pass(5 * time.Second)
	if due := w.beat().Due; due > 100*time.Millisecond {
		r.Errorf("a job is due, and nothing for %s", due)
	}
	same(r, "promoted", r.chore(offstage.Promote), 1)
	atMost("later", time.Hour)
}

func registryUnblocks(r *rig) {
	unknown, other := echo(), echo()
	unknown.Kind, other.Kind = "unheard_of", "unheard_of_too"
	ids := r.insert(unknown, other)
	w := r.worker()
	jobs := w.take(2)
	w.counted(jobs[0].blocked(offstage.WaitsKindUnknown), jobs[1].blocked(offstage.WaitsKindUnknown))
	able := r.workerOn(r.peer(), offstage.WorkerInfo{Queues: []string{offstage.DefaultQueue}, Kinds: []offstage.Kind{{Name: "unheard_of"}}})
	r.wantState(offstage.Ready, ids[0])
	r.wantState(offstage.Blocked, ids[1])
	job := able.takeOne()
	same(r, "claimed", [2]int64{int64(job.ID), int64(job.Run)}, [2]int64{int64(ids[0]), 2})
}

func registryUnregister(r *rig) {
	w, other := r.worker(), r.worker()
	r.insertOne(echo())
	other.complete()
	r.must(r.store.Unregister(r.Context(), other.id), "unregister")
	if _, seen := w.sees(other); seen {
		r.Error("a worker that unregistered is still seen")
	}
	if _, err := r.store.Beat(r.Context(), other.id); !errors.Is(err, offstage.ErrGone) {
		r.Errorf("its beat: got %v, want ErrGone", err)
	}
	r.must(r.store.Unregister(r.Context(), other.id), "unregister again")
}

// rescueAll does what a living worker does about others: it rescues the peers
// that are known to be dead, and takes its turn at the chore for those that
// nobody knows.
func (w *worker) rescueAll() {
	w.Helper()
	w.pass(time.Minute)
	for _, peer := range w.beat().Peers {
		for more := peer.Dead; more; {
			var err error
			_, more, err = w.store.Rescue(w.Context(), peer, 100)
			w.must(err, "rescue")
		}
	}
	w.chore(offstage.Rescan)
}

func registryUnregisterHolding(r *rig) {
	ids := r.insert(echoes(3)...)
	w, other := r.worker(), r.worker()
	jobs := other.take(3)
	other.counted(jobs[0].completed())
	r.must(r.store.Unregister(r.Context(), other.id), "unregister")
	w.rescueAll()
	r.wantState(offstage.Completed, ids[0])
	r.wantState(offstage.Ready, ids[1:]...)
	same(r, "claimed", idsOf(w.take(2)), ids[1:])
}

func registryClaimWhenGone(r *rig) {
	w, gone := r.worker(), r.worker()
	gone.die()
	id := r.insertOne(echo())
	_, err := r.store.Claim(r.Context(), offstage.ClaimRequest{Worker: gone.id, Seq: 1, Pools: []offstage.PoolRequest{pool(1, offstage.DefaultQueue)}})
	if err != nil && !errors.Is(err, offstage.ErrGone) {
		r.Fatalf("claim: got %v, want jobs or ErrGone", err)
	}
	w.rescueAll()
	r.wantState(offstage.Ready, id)
	same(r, "claimed", w.takeOne().ID, id)
}
