package checker

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// evidence is a campaign's history, put in order by what it is about.
type evidence struct {
	rules    Rules
	events   []history.Event
	listing  *history.Listing
	enqueues map[string]*enqueue        // by key
	stories  []*story                   // by job
	lives    map[string]*life           // by process
	outages  []span                     // without a database, one after the other
	signals  map[string][]history.Event // sends and acknowledgements, by the enqueue's key
	healed   int64                      // since 1970: when there were no more faults
	report   *Report

	byJob map[offstage.ID]*story
}

// enqueue is all that is known of the enqueue of one key.
type enqueue struct {
	send       history.Event // the first
	sends      int
	failures   int // answers which say that it did not happen
	acks       []history.Event
	rolledBack bool
	refused    string
}

// undone reports whether the enqueue has certainly left no job.
func (q *enqueue) undone() bool {
	return q.rolledBack || q.refused != "" || q.sends > 0 && q.failures == q.sends
}

// story is all that is known of one job.
type story struct {
	id      offstage.ID
	listed  *history.Job // nil: the store does not know it
	enqueue *enqueue     // nil: nobody enqueued it
	acked   int64        // when its own enqueue was acknowledged; 0: never
	runs    []*run       // by number
	ends    []history.Event
	cancels []history.Event // those answered
	asked   int64           // when a cancel was first sent; 0: never
	claims  []history.Event // after a worker's death
	marked  map[int]bool    // runs whose end a worker has recorded
	named   map[int]bool    // runs that a worker was about to start as its suspect
	memory  []history.Event // what it did, kept, found and waited for
}

// run is one start of a job.
type run struct {
	number int
	start  history.Event
	again  []history.Event // further starts of the same number
	told   *history.Event  // its context ended
	end    *history.Event
	wished bool // it ended its own process
	until  int64
}

// life is one process from its start to its end.
type life struct {
	name     string
	killed   int64 // when it was about to be killed; 0: it was not
	stopping int64 // when it was told to stop
	ordered  int64 // when its parent was about to tell it
	ended    bool  // it was told to stop when it could
	stopped  int64
	died     int64
	how      string
	last     int64 // its last own event
	pauses   []span
}

// span is a time from and to.
type span struct{ from, to int64 }

// gather puts the history in order.
func gather(events []history.Event, listing *history.Listing, rules Rules) *evidence {
	e := &evidence{
		rules: rules, events: events, listing: listing, enqueues: map[string]*enqueue{}, lives: map[string]*life{},
		signals: map[string][]history.Event{}, byJob: map[offstage.ID]*story{},
		report: &Report{
			Seed: rules.Seed, Store: rules.Store, LeaseMS: rules.Lease.Milliseconds(), GraceMS: rules.Grace.Milliseconds(),
			Faults: map[string]int{}, Jobs: len(listing.Jobs),
		},
	}
	for i := range listing.Jobs {
		e.story(listing.Jobs[i].ID).listed = &listing.Jobs[i]
	}
	for _, event := range events {
		e.life(event.Process).last = event.Mono
		switch event.What {
		case history.Send, history.Ack, history.Unknown, history.Failed, history.Refused, history.RolledBack:
			e.addEnqueue(event)
		case history.CancelSend, history.CancelAck, history.CancelFail, history.Mark, history.Claimed, history.Naming:
			e.addToStory(event)
		case history.Do, history.Kept, history.Found, history.Nap, history.Woke, history.Got:
			s := e.story(event.Job)
			s.memory = append(s.memory, event)
		case history.SignalSend, history.SignalAck:
			e.signals[event.Key] = append(e.signals[event.Key], event)
		case history.Start, history.Cancelled, history.End:
			e.addRun(event)
		case history.Suicide:
			e.life(event.Process).kill(event.Mono)
			if event.Job != 0 {
				e.addRun(event)
			}
		default:
			e.addToLife(event)
		}
	}
	e.connect()
	return e
}

func (e *evidence) story(id offstage.ID) *story {
	s := e.byJob[id]
	if s == nil {
		s = &story{id: id, named: map[int]bool{}, marked: map[int]bool{}}
		e.byJob[id] = s
		e.stories = append(e.stories, s)
	}
	return s
}

func (e *evidence) life(process string) *life {
	l := e.lives[process]
	if l == nil {
		l = &life{name: process}
		e.lives[process] = l
	}
	return l
}

func (e *evidence) addEnqueue(event history.Event) {
	q := e.enqueues[event.Key]
	if q == nil {
		if event.What != history.Send {
			e.violate(Violation{What: wrongWitness, Text: fmt.Sprintf("%s of %s before it was sent", event.What, event.Key)})
		}
		q = &enqueue{send: event}
		e.enqueues[event.Key] = q
	}
	switch event.What {
	case history.Send:
		q.sends++
	case history.Ack:
		q.acks = append(q.acks, event)
	case history.Failed:
		q.failures++
	case history.RolledBack:
		q.rolledBack = true
	case history.Refused:
		q.refused = event.Note
	}
}

func (e *evidence) addToStory(event history.Event) {
	s := e.story(event.Job)
	switch event.What {
	case history.CancelSend:
		if s.asked == 0 {
			s.asked = event.Mono
		}
	case history.CancelAck:
		s.cancels = append(s.cancels, event)
	case history.Claimed:
		s.claims = append(s.claims, event)
	case history.Naming:
		s.named[event.Run] = true
	case history.Mark:
		s.marked[event.Run] = true
		if event.Next.Terminal() {
			s.ends = append(s.ends, event)
		}
	}
}

func (e *evidence) addRun(event history.Event) {
	s := e.story(event.Job)
	i := slices.IndexFunc(s.runs, func(r *run) bool { return r.number == event.Run })
	if event.What == history.Start {
		e.report.Starts++
		if i >= 0 {
			s.runs[i].again = append(s.runs[i].again, event)
			return
		}
		s.runs = append(s.runs, &run{number: event.Run, start: event})
		return
	}
	if i < 0 || s.runs[i].start.Process != event.Process {
		if i < 0 || len(s.runs[i].again) == 0 { // a second start's events are not told apart
			e.violate(Violation{What: wrongWitness, Job: event.Job, Text: fmt.Sprintf("%s of run %d, which %s had not started", event.What, event.Run, event.Process)})
		}
		return
	}
	switch r := s.runs[i]; event.What {
	case history.Cancelled:
		r.told = &event
	case history.End:
		r.end = &event
	case history.Suicide:
		r.wished = true
	}
}

func (e *evidence) addToLife(event history.Event) {
	switch l := e.life(event.Process); event.What {
	case history.Stall:
		l.pauses = append(l.pauses, span{event.Mono - event.Wait, event.Mono})
	case history.Healed:
		e.healed = event.Wall
	case history.Stopping:
		l.stopping = event.Mono
	case history.Stopped:
		l.stopped = event.Mono
	case history.Died:
		target := e.life(event.Target)
		target.died, target.how = event.Mono, event.Note
	case history.FaultBegin, history.FaultEnd:
		e.addFault(event)
	}
}

// addFault notes a fault where it struck.
func (e *evidence) addFault(event history.Event) {
	target := e.life(event.Target)
	if event.What == history.FaultBegin {
		switch event.How {
		case history.Kills:
			target.kill(event.Mono)
		case history.Stops:
			target.ordered = event.Mono
		case history.Ends:
			target.ended = true
		case history.Pauses:
			target.pauses = append(target.pauses, span{event.Mono, math.MaxInt64})
		case history.Outage:
			e.outages = append(e.outages, span{event.Mono, math.MaxInt64})
		}
		return
	}
	e.report.Faults[event.Fault] += event.Count
	switch n := len(e.outages); {
	case event.How == history.Pauses:
		target.resume(event.Mono)
	case event.How == history.Outage && n > 0:
		e.outages[n-1].to = event.Mono
	}
}

// resume ends the open pause, which is not the last one if the process has
// noticed it itself.
func (l *life) resume(at int64) {
	for i := range l.pauses {
		l.pauses[i].to = min(l.pauses[i].to, at)
	}
}

func (l *life) kill(at int64) {
	if l.killed == 0 {
		l.killed = at
	}
}

// until is when the process was certainly still alive at last.
func (l *life) until() int64 {
	switch {
	case l.killed > 0:
		return l.killed
	case l.stopped > 0:
		return l.stopped
	case l.died > 0:
		return l.last
	}
	return math.MaxInt64
}

// connect joins jobs, enqueues and processes, and decides until when each run
// went on.
func (e *evidence) connect() {
	slices.SortFunc(e.stories, func(a, b *story) int { return int(a.id - b.id) })
	for _, s := range e.stories {
		if s.listed != nil {
			s.enqueue = e.enqueues[s.listed.Key]
			if s.enqueue == nil {
				s.enqueue = e.enqueues[bulkOf(s.listed.Key)]
			}
		}
		if s.enqueue != nil {
			for _, ack := range s.enqueue.acks {
				if !ack.Existed && (ack.Job == s.id || ack.Count > 0) {
					s.acked = ack.Mono
				}
			}
		}
		slices.SortFunc(s.runs, func(a, b *run) int { return a.number - b.number })
		for _, r := range s.runs {
			r.until = e.life(r.start.Process).until()
			if r.end != nil {
				r.until = min(r.until, r.end.Mono)
			}
		}
	}
}

func (e *evidence) kind(s *story) Kind {
	if s.listed == nil {
		return Kind{}
	}
	return e.rules.Kinds[s.listed.Kind]
}

func (e *evidence) violate(v Violation) { e.report.Violations = append(e.report.Violations, v) }

// breach notes a violation of a job's promises.
func (e *evidence) breach(s *story, what, format string, args ...any) {
	e.violate(Violation{What: what, Job: s.id, Text: fmt.Sprintf(format, args...)})
}

func ms(d int64) string { return time.Duration(d).Round(100 * time.Microsecond).String() }
