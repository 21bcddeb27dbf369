package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

var orderCases = []Case{
	{"claim/arrival", "Within a queue and a priority, jobs are claimed in the order of arrival, whichever handle they came through.", claimArrival},
	{"claim/arrival in one call", "Jobs of one call for several queues arrive in their order in each, under the ids that were answered.", claimArrivalInOneCall},
	{"claim/priority", "Priority comes before arrival: 0 first, 9 last.", claimPriority},
	{"claim/queue order", "The order of a pool's queues comes before priority.", claimQueueOrder},
	{"claim/front", "Jobs that were handed back or rescued come before those of their priority that never started, and after those of a higher one.", claimFront},
	{"claim/due jobs arrive when due", "A scheduled job arrives when its time has come: those that were ready before come first.", claimPromotedArrival},
}

func claimArrival(r *rig) {
	peer := r.peer()
	want := r.insert(echoes(5)...)
	for range 3 {
		inserted, err := peer.Insert(r.Context(), echoes(2))
		r.must(err, "insert by another handle")
		want = append(want, inserted[0].ID, inserted[1].ID, r.insertOne(echo()))
	}
	w := r.worker()
	got := idsOf(w.take(6))
	for range 8 {
		got = append(got, w.takeOne().ID)
	}
	same(r, "order", got, want)
}

func claimArrivalInOneCall(r *rig) {
	queues := []string{"c", "a", "b"}
	var jobs []offstage.NewJob
	for i := range 60 {
		jobs = append(jobs, withArgs(echoIn(queues[i%3], 5-i%2), fmt.Sprint(i)))
	}
	ids := r.insert(jobs...)
	w := r.worker()
	for q, queue := range queues {
		var want []offstage.ID
		for odd := range 2 { // of which the priority comes first
			for i := range jobs {
				if i%3 == q && i%2 == 1-odd {
					want = append(want, ids[i])
				}
			}
		}
		taken := w.takeFrom(20, queue)
		same(r, queue, idsOf(taken), want)
		for _, job := range taken {
			i := slices.Index(ids, job.ID)
			same(r, "args", string(job.Args), string(jobs[i].Args))
		}
	}
}

func claimPriority(r *rig) {
	var jobs []offstage.NewJob
	for _, priority := range []int{5, 9, 0, 5, 1, 0, 9} {
		jobs = append(jobs, echoIn(offstage.DefaultQueue, priority))
	}
	ids := r.insert(jobs...)
	want := []offstage.ID{ids[2], ids[5], ids[4], ids[0], ids[3], ids[1], ids[6]}
	w := r.worker()
	got := idsOf(w.take(4))
	for range 3 {
		got = append(got, w.takeOne().ID)
	}
	same(r, "order", got, want)
}

func claimQueueOrder(r *rig) {
	ids := r.insert(echoIn("b", 0), echoIn("a", 9), echoIn("c", 0), echoIn("a", 5), echoIn("b", 9))
	w := r.worker()
	got := idsOf(w.claim(pool(3, "a", "b", "c")))
	same(r, "first", got, []offstage.ID{ids[3], ids[1], ids[0]})
	got = idsOf(w.claim(pool(3, "c", "b", "a")))
	same(r, "then, in the other order of queues", got, []offstage.ID{ids[2], ids[4]})
}

func claimFront(r *rig) {
	ids := r.insert(echoes(4)...)
	w, dying := r.worker(), r.worker()
	w.counted(w.takeOne().interrupted())
	back := w.takeOne()
	same(r, "claimed after it was handed back", back.ID, ids[0])
	same(r, "its run", back.Run, 2)
	same(r, "claimed by another", dying.takeOne().ID, ids[1])
	same(r, "rescued", dying.die(), 1)
	urgent := r.insertOne(echoIn(offstage.DefaultQueue, 1))
	r.insertOne(echo())
	got := idsOf(w.take(3))
	same(r, "order", got, []offstage.ID{urgent, ids[1], ids[2]})
}

func claimPromotedArrival(r *rig) {
	late := r.insertOne(echoAfter(time.Minute))
	first := r.insertOne(echo())
	r.pass(time.Minute)
	same(r, "promoted", r.chore(offstage.Promote), 1)
	last := r.insertOne(echo())
	same(r, "order", idsOf(r.worker().take(3)), []offstage.ID{first, late, last})
}
