package storetest

import (
	"time"

	"github.com/offstagehq/offstage"
)

var progressCases = []Case{
	{"progress/latest", "The latest progress of a running job is kept, with the store's time.", progressLatest},
	{"progress/older run", "Reports of a run older than the stored one are dropped.", progressOlderRun},
	{"progress/many", "One call takes the progress of many jobs.", progressMany},
	{"progress/after the end", "An ended job still shows its progress.", progressAfterEnd},
}

func (r *rig) report(reports ...offstage.JobProgress) {
	r.Helper()
	r.must(r.store.SaveProgress(r.Context(), reports), "save progress")
}

// wantProgress checks a job's progress without its time.
func (r *rig) wantProgress(id offstage.ID, want offstage.ProgressInfo) {
	r.Helper()
	got := r.get(id).Progress
	if got == nil {
		r.Fatalf("job %d shows no progress", id)
	}
	if got.At.IsZero() {
		r.Error("progress has no time")
	}
	want.At = got.At
	same(r, "progress", *got, want)
}

func progressLatest(r *rig) {
	id := r.insertOne(echo())
	r.worker().takeOne()
	r.pass(time.Minute)
	r.report(offstage.JobProgress{Job: id, Run: 1, Done: 5, Total: 10, Message: "é half"})
	r.wantProgress(id, offstage.ProgressInfo{Run: 1, Done: 5, Total: 10, Message: "é half"})
	got := r.get(id)
	if got.Progress.At.Sub(got.CreatedAt) < time.Minute {
		r.Errorf("progress of %v, a minute after %v", got.Progress.At, got.CreatedAt)
	}
	r.report(offstage.JobProgress{Job: id, Run: 1, Done: 1 << 40})
	r.wantProgress(id, offstage.ProgressInfo{Run: 1, Done: 1 << 40})
}

func progressOlderRun(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	r.report(offstage.JobProgress{Job: id, Run: 1, Done: 7, Total: 10})
	w.counted(job.interrupted())
	w.takeOne()
	r.report(offstage.JobProgress{Job: id, Run: 2, Done: 1, Total: 10})
	r.report(offstage.JobProgress{Job: id, Run: 1, Done: 9, Total: 10})
	r.wantProgress(id, offstage.ProgressInfo{Run: 2, Done: 1, Total: 10})
}

func progressMany(r *rig) {
	ids := r.insert(echoes(50)...)
	r.worker().take(50)
	reports := make([]offstage.JobProgress, len(ids))
	for i, id := range ids {
		reports[(i*7)%50] = offstage.JobProgress{Job: id, Run: 1, Done: int64(i), Total: 50}
	}
	r.report(reports...)
	r.report()
	for i, id := range ids {
		r.wantProgress(id, offstage.ProgressInfo{Run: 1, Done: int64(i), Total: 50})
	}
}

func progressAfterEnd(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	r.report(offstage.JobProgress{Job: id, Run: 1, Done: 10, Total: 10})
	w.counted(job.completed())
	r.wantProgress(id, offstage.ProgressInfo{Run: 1, Done: 10, Total: 10})
}
