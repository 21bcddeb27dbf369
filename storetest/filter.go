package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

var filterCases = []Case{
	{"list/each state", "A filter by state brings the jobs of that state.", listStates},
	{"list/kind, queue, tag", "Filters by kind, queue and tag bring the jobs that match all of them.", listFilters},
	{"list/time", "Since and until bound the time of enqueue: since ≤ created < until.", listTimes},
	{"list/info", "A list tells of each job what Get tells, without its history.", listInfo},
	{"list/looked", "A page looks at a bounded number of rows, says how many, and goes on from there.", listLooked},
	{"list/malformed cursor", "A cursor that the store did not make is an InvalidError that names after.", listMalformed},
}

func listStates(r *rig) {
	byState := map[offstage.State][]offstage.ID{}
	for range 3 {
		for _, state := range offstage.States() {
			id, _, _ := r.bring(echoIn(state.String(), 5), state)
			byState[state] = append(byState[state], id)
			r.pass(time.Second)
		}
	}
	for state, ids := range byState {
		if state != offstage.Ready {
			ids = reversed(ids)
		}
		same(r, state.String(), r.pages(offstage.Filter{State: state, Limit: 2}, nil), ids)
		page, err := r.store.List(r.Context(), offstage.Filter{State: state})
		r.must(err, "list")
		for _, job := range page.Jobs {
			same(r, "state", job.State, state)
		}
	}
}

func listFilters(r *rig) {
	byName := map[string][]offstage.ID{}
	for range 4 {
		for _, kind := range []string{"k1", "k2"} {
			for _, queue := range []string{"q1", "q2"} {
				for _, tags := range [][]string{nil, {"t1"}, {"t2", "t1"}, {"t10"}} {
					job := echoIn(queue, 5)
					job.Kind, job.Tags = kind, tags
					id := r.insertOne(job)
					for _, tag := range append(tags, "") {
						for _, name := range []string{kind + queue + tag, kind + tag, queue + tag, tag} {
							byName[name] = append(byName[name], id)
						}
					}
				}
			}
		}
	}
	for _, kind := range []string{"", "k1", "k2"} {
		for _, queue := range []string{"", "q1", "q2"} {
			for _, tag := range []string{"", "t1", "t2", "t10"} {
				filter := offstage.Filter{Kind: kind, Queue: queue, Tag: tag, Limit: 3}
				same(r, fmt.Sprintf("%+v", filter), r.pages(filter, nil), reversed(byName[kind+queue+tag]))
				filter.State = offstage.Ready
				want := byName[kind+queue+tag]
				if queue == "" {
					want = slices.Concat(byName[kind+"q1"+tag], byName[kind+"q2"+tag])
				}
				same(r, fmt.Sprintf("%+v", filter), r.pages(filter, nil), want)
			}
		}
	}
	for _, filter := range []offstage.Filter{{Kind: "k3"}, {Queue: "q3"}, {Tag: "t"}, {Tag: "t1%"}, {State: offstage.Failed}} {
		same(r, fmt.Sprintf("%+v", filter), r.pages(filter, nil), []offstage.ID{})
	}
}

func listTimes(r *rig) {
	var ids []offstage.ID
	var times []time.Time
	for range 5 {
		ids = append(ids, r.insertOne(echo()))
		times = append(times, r.get(ids[len(ids)-1]).CreatedAt)
		r.pass(time.Minute)
	}
	same(r, "since", r.pages(offstage.Filter{Since: times[2], Limit: 2}, nil), reversed(ids[2:]))
	same(r, "until", r.pages(offstage.Filter{Until: times[2], Limit: 2}, nil), reversed(ids[:2]))
	same(r, "both", r.pages(offstage.Filter{Since: times[1], Until: times[4], State: offstage.Ready, Limit: 2}, nil), ids[1:4])
	same(r, "nothing", r.pages(offstage.Filter{Since: times[4].Add(time.Second)}, nil), []offstage.ID{})
}

func listInfo(r *rig) {
	for _, state := range offstage.States() {
		job := echoIn(state.String(), 5)
		job.Tags = []string{state.String()}
		id, _, running := r.bring(job, state)
		if state == offstage.Running {
			r.report(offstage.JobProgress{Job: id, Run: running.Run, Done: 1, Total: 2})
		}
		page, err := r.store.List(r.Context(), offstage.Filter{Tag: state.String()})
		r.must(err, "list")
		if len(page.Jobs) != 1 {
			r.Fatalf("%s: %d jobs, want 1", state, len(page.Jobs))
		}
		same(r, state.String(), page.Jobs[0], r.get(id).JobInfo)
		r.moveAway(id)
	}
}

func listLooked(r *rig) {
	marked := echo()
	marked.Tags = []string{"marked"}
	id := r.insertOne(marked)
	_, err := r.store.InsertSeq(r.Context(), sequence(offstage.MaxLooked+500, nil))
	r.must(err, "insert sequence")
	r.chore(offstage.Publish)
	page, err := r.store.List(r.Context(), offstage.Filter{Tag: "marked"})
	r.must(err, "list")
	if len(page.Jobs) != 0 || page.Next == "" || page.Looked < 1 || page.Looked > offstage.MaxLooked {
		r.Errorf("%d jobs, %d looked at, next %q; want none yet, and a cursor to go on", len(page.Jobs), page.Looked, page.Next)
	}
	same(r, "in all pages", r.pages(offstage.Filter{Tag: "marked"}, nil), []offstage.ID{id})
}

func listMalformed(r *rig) {
	jobs := r.insert(echoes(6)...)
	for _, id := range jobs[:3] {
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
	}
	for _, state := range []offstage.State{0, offstage.Ready, offstage.Cancelled} {
		page, err := r.store.List(r.Context(), offstage.Filter{State: state, Limit: 1})
		r.must(err, "list")
		for _, after := range []string{
			page.Next + "x", "x" + page.Next, page.Next + " ", page.Next + page.Next + ".",
			"x", "1 or 1=1", "i", "e1", "-1", "99999999999999999999999", strings.Repeat("z", 5000), "é\x00",
		} {
			page, err := r.store.List(r.Context(), offstage.Filter{State: state, After: after})
			var invalid *offstage.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != "after" {
				r.Errorf("after %.20q: got %d jobs, %v, want an InvalidError", after, len(page.Jobs), err)
			}
		}
	}
}
