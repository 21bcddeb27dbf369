package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

var listCases = []Case{
	{"list/newest first", "Jobs come by id, newest first, 50 to a page unless asked otherwise, until there is no next page.", listNewest},
	{"list/no gaps", "Pages neither miss nor repeat jobs that do not change while they are read, though others come and go.", listNoGaps},
	{"list/ready", "Ready jobs come queue by queue, by name, each in the order in which its jobs are claimed.", listReady},
	{"list/ready, their number", "A page of a queue's ready jobs looks at no other queue's.", listReadyLooked},
	{"list/by end", "Failed and cancelled jobs come by the time of their end, latest first.", listByEnd},
	{"list/by end, at one time", "Jobs that ended at the same time are neither missed nor repeated by the pages.", listByEndTogether},
}

// pages reads a whole list and returns the ids in their order. between is called
// after each page.
func (r *rig) pages(filter offstage.Filter, between func()) []offstage.ID {
	r.Helper()
	ids := []offstage.ID{}
	for range 1000 {
		page, err := r.store.List(r.Context(), filter)
		r.must(err, "list")
		limit := filter.Limit
		if limit == 0 {
			limit = 50
		}
		if len(page.Jobs) > limit || page.Looked > offstage.MaxLooked || page.Looked < len(page.Jobs) {
			r.Errorf("a page of %d jobs, with %d looked at; its limit is %d", len(page.Jobs), page.Looked, limit)
		}
		for _, job := range page.Jobs {
			ids = append(ids, job.ID)
		}
		if page.Next == "" {
			return ids
		}
		if between != nil {
			between()
		}
		filter.After = page.Next
	}
	r.Fatal("the list has no end")
	return nil
}

func reversed(ids []offstage.ID) []offstage.ID {
	ids = slices.Clone(ids)
	slices.Reverse(ids)
	return ids
}

func listNewest(r *rig) {
	same(r, "no jobs", r.pages(offstage.Filter{}, nil), []offstage.ID{})
	ids := r.insert(echoes(120)...)
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs in a page by default", len(page.Jobs), 50)
	for _, limit := range []int{0, 1, 7, 60, 120, 1000} {
		same(r, fmt.Sprintf("all jobs by %d", limit), r.pages(offstage.Filter{Limit: limit}, nil), reversed(ids))
	}
}

func listNoGaps(r *rig) {
	ids := r.insert(echoes(60)...)
	w := r.worker()
	w.claim(pool(20, offstage.DefaultQueue)) // the 20 oldest
	for _, filter := range []offstage.Filter{
		{Limit: 7},
		{Limit: 7, State: offstage.Ready},
		{Limit: 7, State: offstage.Ready, Queue: offstage.DefaultQueue},
	} {
		var gone []offstage.ID
		got := r.pages(filter, func() {
			r.insert(echo(), echoIn("other", 0))
			gone = append(gone, r.insertOne(echo()))
			r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: gone[len(gone)-1]})
		})
		want := reversed(ids)
		if filter.State == offstage.Ready {
			want = ids[20:]
		}
		same(r, fmt.Sprintf("jobs that were there, by %+v", filter), only(got, ids), want)
	}
}

func listReady(r *rig) {
	later := echoIn("b", 3)
	later.Delay = time.Second
	first := r.insert(echoIn("b", 5), echoIn("a", 9), echoIn("b", 5), later, echoIn("c", 0), echoIn("a", 2), echoIn("b", 3), echoIn("b", 4))
	w := r.worker()
	w.counted(w.claim(pool(1, "b"))[0].errored(time.Second))
	w.counted(w.claim(pool(1, "c"))[0].interrupted())
	r.pass(2 * time.Second)
	r.chore(offstage.Promote)
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: first[0], Priority: 3})
	r.apply(offstage.Change{Verb: offstage.VerbRunNow, Job: first[2]})
	r.insert(echoIn("b", 3), echoIn("a", 2))
	var got [][]offstage.ID
	for _, limit := range []int{1, 2, 3, 100} {
		got = append(got, r.pages(offstage.Filter{State: offstage.Ready, Limit: limit}, nil))
	}
	var inQueues [][]offstage.ID
	for _, queue := range []string{"a", "b", "c"} {
		inQueues = append(inQueues, r.pages(offstage.Filter{State: offstage.Ready, Queue: queue, Limit: 2}, nil))
	}
	var want []offstage.ID
	for i, queue := range []string{"a", "b", "c"} {
		claimed := idsOf(w.claim(pool(100, queue)))
		same(r, "ready in "+queue, inQueues[i], claimed)
		want = append(want, claimed...)
	}
	same(r, "jobs", len(want), 10)
	for i := range got {
		same(r, "ready", got[i], want)
	}
}

func listReadyLooked(r *rig) {
	r.insert(echoes(300)...)
	want := r.insert(echoIn("z", 5), echoIn("z", 5))
	page, err := r.store.List(r.Context(), offstage.Filter{State: offstage.Ready, Queue: "z"})
	r.must(err, "list")
	same(r, "jobs", len(page.Jobs), len(want))
	if page.Looked > 3 {
		r.Errorf("%d rows were looked at for %d jobs of a queue", page.Looked, len(want))
	}
}

// only returns those of ids that are in known, in their order.
func only(ids, known []offstage.ID) []offstage.ID {
	var found []offstage.ID
	for _, id := range ids {
		if slices.Contains(known, id) {
			found = append(found, id)
		}
	}
	return found
}

func listByEnd(r *rig) {
	const n = 7
	ids := r.insert(echoes(n)...)
	w := r.worker()
	jobs := w.take(n)
	var want []offstage.ID
	for i := range jobs {
		job := jobs[(i*3)%n]
		w.counted(job.failed())
		want = append(want, job.ID)
		r.pass(time.Second)
	}
	same(r, "failed", r.pages(offstage.Filter{State: offstage.Failed, Limit: 2}, nil), reversed(want))
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: want[2]})
	again := w.takeOne()
	r.pass(time.Second)
	w.counted(again.failed())
	want = append(slices.Delete(want, 2, 3), again.ID)
	same(r, "failed, one of them twice", r.pages(offstage.Filter{State: offstage.Failed, Limit: 2}, nil), reversed(want))
	for _, id := range []offstage.ID{ids[1], ids[0]} {
		r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		r.pass(time.Second)
	}
	same(r, "cancelled", r.pages(offstage.Filter{State: offstage.Cancelled, Limit: 1}, nil), []offstage.ID{ids[0], ids[1]})
}

func listByEndTogether(r *rig) {
	const n = 20
	r.insert(echoes(n)...)
	w := r.worker()
	var results []offstage.Result
	for _, job := range w.take(n) {
		results = append(results, job.failed())
	}
	w.counted(results...)
	for _, limit := range []int{1, 3, n} {
		got := r.pages(offstage.Filter{State: offstage.Failed, Limit: limit}, nil)
		slices.Sort(got)
		same(r, fmt.Sprintf("different jobs, by %d", limit), len(slices.Compact(got)), n)
	}
}
