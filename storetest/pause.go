package storetest

import "github.com/offstagehq/offstage"

var pauseCases = []Case{
	{"pause/queue", "Jobs of a paused queue are left alone until it is resumed; other queues go on.", pauseQueue},
	{"pause/running jobs go on", "Jobs that run when their queue is paused go on and may finish.", pauseRunning},
	{"pause/unheard-of queue", "A queue can be paused before its first job.", pauseUnheardOf},
	{"pause/other handle", "A pause holds for all handles on the database.", pauseOtherHandle},
	{"pause/kind", "A claim marks jobs of a paused kind, and the worker hands them back as blocked.", pauseKind},
	{"pause/resume kind", "Resuming a kind makes its blocked jobs ready when a live worker handles it.", pauseResumeKind},
	{"pause/resume without a handler", "A blocked job of a resumed kind waits on until a worker handles it.", pauseNoHandler},
	{"pause/twice", "Pausing what is paused and resuming what is not change nothing.", pauseTwice},
}

func pauseQueue(r *rig) {
	ids := r.insert(echoIn("a", 5), echoIn("b", 5))
	r.pause(offstage.PauseTarget{Queue: "a"}, true)
	w := r.worker()
	same(r, "claimed while paused", idsOf(w.claim(pool(5, "a", "b"))), []offstage.ID{ids[1]})
	r.wantState(offstage.Ready, ids[0])
	r.pause(offstage.PauseTarget{Queue: "a"}, false)
	same(r, "claimed when resumed", idsOf(w.claim(pool(5, "a", "b"))), []offstage.ID{ids[0]})
}

func pauseRunning(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	r.pause(offstage.PauseTarget{Queue: offstage.DefaultQueue}, true)
	r.wantState(offstage.Running, id)
	w.counted(job.completed())
	r.wantState(offstage.Completed, id)
}

func pauseUnheardOf(r *rig) {
	r.pause(offstage.PauseTarget{Queue: "later"}, true)
	r.insertOne(echoIn("later", 5))
	same(r, "claimed", len(r.worker().claim(pool(5, "later"))), 0)
}

func pauseOtherHandle(r *rig) {
	peer := r.peer()
	r.insert(echoes(2)...)
	w := r.workerOn(peer, offstage.WorkerInfo{Queues: []string{offstage.DefaultQueue}, Kinds: []offstage.Kind{{Name: "echo"}}})
	w.takeOne()
	r.pause(offstage.PauseTarget{Queue: offstage.DefaultQueue}, true)
	same(r, "claimed by another handle while paused", len(w.claim(pool(1, offstage.DefaultQueue))), 0)
	r.pause(offstage.PauseTarget{Queue: offstage.DefaultQueue}, false)
	w.takeOne()
}

func pauseKind(r *rig) {
	other := echo()
	other.Kind = "other"
	ids := r.insert(echo(), other)
	r.pause(offstage.PauseTarget{Kind: "echo"}, true)
	w := r.worker()
	jobs := w.take(2)
	same(r, "kind paused", jobs[0].KindPaused, true)
	same(r, "other kind paused", jobs[1].KindPaused, false)
	same(r, "next", w.counted(jobs[0].blocked(offstage.WaitsKindPaused)), []offstage.State{offstage.Blocked})
	got := r.get(ids[0])
	same(r, "state", got.State, offstage.Blocked)
	same(r, "waits for", got.Waits, offstage.WaitsKindPaused)
	r.chore(offstage.Unblock)
	r.wantState(offstage.Blocked, ids[0])
}

func pauseResumeKind(r *rig) {
	id := r.insertOne(echo())
	r.pause(offstage.PauseTarget{Kind: "echo"}, true)
	w := r.worker()
	w.counted(w.takeOne().blocked(offstage.WaitsKindPaused))
	r.pause(offstage.PauseTarget{Kind: "echo"}, false)
	r.wantState(offstage.Ready, id)
	job := w.takeOne()
	same(r, "run", job.Run, 2)
	same(r, "kind paused", job.KindPaused, false)
}

func pauseNoHandler(r *rig) {
	id := r.insertOne(echo())
	r.pause(offstage.PauseTarget{Kind: "echo"}, true)
	w := r.workerOn(r.store, offstage.WorkerInfo{Queues: []string{offstage.DefaultQueue}})
	w.counted(w.takeOne().blocked(offstage.WaitsKindPaused))
	r.pause(offstage.PauseTarget{Kind: "echo"}, false)
	r.wantState(offstage.Blocked, id)
	r.pause(offstage.PauseTarget{Kind: "echo"}, true)
	able := r.worker()
	r.wantState(offstage.Blocked, id)
	r.pause(offstage.PauseTarget{Kind: "echo"}, false)
	same(r, "claimed", able.takeOne().ID, id)
}

func pauseTwice(r *rig) {
	id := r.insertOne(echo())
	queue := offstage.PauseTarget{Queue: offstage.DefaultQueue}
	r.pause(queue, false)
	r.pause(queue, true)
	r.pause(queue, true)
	w := r.worker()
	same(r, "claimed while paused", len(w.claim(pool(1, offstage.DefaultQueue))), 0)
	r.pause(queue, false)
	same(r, "claimed when resumed", w.takeOne().ID, id)
}
