package storetest

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

var wakeCases = []Case{
	{"wake/watch", "Watch says when it has begun, calls wake when jobs become ready, and returns without an error when ctx ends.", watchReady},
	{"wake/soon", "Watch tells, as NewsAny, of a job that becomes due within Soon: whoever promotes is to look sooner than it knows.", watchSoon},
	{"wake/cancel", "Watch tells of a running job that is to be cancelled.", watchCancel},
	{"wake/ends", "WatchEnds says when it has begun, tells of each job that ends by a result, a cancel or a delete, or in a caller's transaction once Ended has been asked, and returns without an error when ctx ends.", watchEnds},
}

// watch watches the peer handle and returns a channel of what it tells, when it
// has begun; stop ends it.
func (r *rig) watch() (news <-chan offstage.News, stop func()) {
	r.Helper()
	waker, can := r.peer().(offstage.Waker)
	if !can {
		r.Skip("this store wakes nobody: workers look every half second")
	}
	w := r.worker()
	r.must(waker.Sleep(r.Context(), w.id, true), "sleep")
	ctx, cancel := context.WithCancel(r.Context())
	told, begun, ended := make(chan offstage.News, 1000), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- waker.Watch(ctx, func() { close(begun) }, func(n offstage.News) { told <- n })
	}()
	select {
	case <-begun:
	case err := <-ended:
		r.Fatalf("watch: %v", err)
	}
	return told, func() {
		r.Helper()
		cancel()
		r.must(<-ended, "watch")
	}
}

func watchReady(r *rig) {
	news, stop := r.watch()
	for range 3 {
		r.insert(echo())
		for n := range news {
			if n != offstage.NewsCancel {
				break
			}
		}
	}
	t := r.begin()
	t.insert(echo())
	r.must(t.commit(), "commit")
	<-news
	stop()
}

func watchSoon(r *rig) {
	far := r.insert(echoAfter(time.Hour))[0]
	news, stop := r.watch()
	ways := []struct {
		name string
		do   func()
	}{
		{"a delay", func() { r.insert(echoAfter(offstage.Soon)) }},
		{"a delay beside one that is due", func() { r.insert(echo(), echoAfter(time.Second)) }},
		{"a unique job", func() {
			job := uniqueEcho(offstage.Skip, "soon")
			job.Delay = time.Second
			r.insert(job)
		}},
		{"a time of quiet", func() {
			job := uniqueEcho(offstage.Debounce, "quiet")
			job.Unique.Wait = time.Second
			r.insert(job)
		}},
		{"a transaction", func() {
			t := r.begin()
			t.insert(echoAfter(time.Second))
			r.must(t.commit(), "commit")
		}},
		{"a change", func() { r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: far, Delay: time.Second}) }},
	}
	for _, way := range ways {
		r.Log(way.name)
		for len(news) > 0 {
			<-news
		}
		way.do()
		for n := range news {
			if n == offstage.NewsAny {
				break
			}
		}
	}
	stop()
}

func watchCancel(r *rig) {
	id, _, _ := r.bring(echo(), offstage.Running)
	news, stop := r.watch()
	r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
	for n := range news {
		if n != offstage.NewsReady {
			break
		}
	}
	stop()
}

func watchEnds(r *rig) {
	herald, can := r.peer().(offstage.Herald)
	if !can {
		r.Skip("this store tells nobody: who waits for jobs looks four times a second")
	}
	w := r.worker()
	ctx, cancel := context.WithCancel(r.Context())
	told, begun, ended := make(chan bool, 1000), make(chan bool), make(chan error, 1)
	go func() {
		ended <- herald.WatchEnds(ctx, func() { close(begun) }, func() { told <- true })
	}()
	select {
	case <-begun:
	case err := <-ended:
		r.Fatalf("watch for ends: %v", err)
	}
	r.insert(echo(), echo(), echo(), echo())
	jobs := w.take(4)
	waiting := r.insert(echoAfter(time.Hour), echoAfter(time.Hour))
	ways := []struct {
		name string
		end  func()
	}{
		{"a result", func() { w.counted(jobs[0].completed()) }},
		{"a failure", func() { w.counted(jobs[1].failed()) }},
		{"a completion in a transaction", func() {
			t := r.begin()
			r.must(t.store.Complete(r.Context(), w.id, jobs[2].completed()), "complete")
			r.must(t.commit(), "commit")
			if over, err := r.store.Ended(r.Context(), jobs[2].ID, 1); err != nil || !over {
				r.Fatalf("ended: %v, %v", over, err)
			}
		}},
		{"a cancel", func() { r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: waiting[0]}) }},
		{"a delete", func() { r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: waiting[1]}) }},
	}
	for _, way := range ways {
		for len(told) > 0 {
			<-told // of the way before, or of other news
		}
		way.end()
		<-told
	}
	cancel()
	r.must(<-ended, "watch for ends")
}
