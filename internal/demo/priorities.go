package demo

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// The queues of the priorities page. high_priority has a pool of its own and
// goes first in the one that it shares with low_priority.
const (
	highQueue = "high_priority"
	lowQueue  = "low_priority"
)

// How much a press of the button enqueues.
const (
	lowJobs  = 2000
	highJobs = 10
)

// sharedSlots is how many jobs of both queues run at once, beside the pool that
// high_priority has for itself.
const sharedSlots = 20

// workTime is how long each of these jobs takes.
const workTime = 100 * time.Millisecond

// ArchiveReading is work that nobody waits for. There is much of it.
type ArchiveReading struct {
	Reading int `json:"reading"`
}

// Kind returns "archive_reading".
func (ArchiveReading) Kind() string { return "archive_reading" }

// EnqueueOptions puts it into the low queue.
func (ArchiveReading) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue(lowQueue)}
}

// RaiseAlert is work that somebody waits for.
type RaiseAlert struct {
	Alert int `json:"alert"`
}

// Kind returns "raise_alert".
func (RaiseAlert) Kind() string { return "raise_alert" }

// EnqueueOptions puts it into the high queue.
func (RaiseAlert) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue(highQueue)}
}

func (s *service) archiveReading(ctx context.Context, _ *offstage.Job[ArchiveReading]) error {
	return work(ctx)
}

func (s *service) raiseAlert(ctx context.Context, _ *offstage.Job[RaiseAlert]) error {
	return work(ctx)
}

// work takes its time, unless it is called off.
func work(ctx context.Context) error {
	select {
	case <-time.After(workTime):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startRush is POST /priorities: two thousand jobs that can wait, then ten that
// cannot.
func (s *service) startRush(w http.ResponseWriter, r *http.Request) {
	_, err := s.client.EnqueueMany(r.Context(), numbered(lowJobs, func(n int) offstage.Args { return ArchiveReading{n} }))
	if err == nil {
		_, err = s.client.EnqueueMany(r.Context(), numbered(highJobs, func(n int) offstage.Args { return RaiseAlert{n} }))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if status.PrefersHTML(r) {
		http.Redirect(w, r, "/priorities", http.StatusSeeOther)
		return
	}
	w.Header().Set("Location", "/priorities")
	s.writeJSON(w, http.StatusAccepted, map[string]int{lowQueue: lowJobs, highQueue: highJobs})
}

func numbered(n int, args func(int) offstage.Args) iter.Seq[offstage.Args] {
	return func(yield func(offstage.Args) bool) {
		for i := 1; i <= n && yield(args(i)); i++ {
		}
	}
}

// prioritiesPage shows how the latest ten urgent jobs fared beside the others.
type prioritiesPage struct {
	frame
	LowJobs, HighJobs int
	High              []highLine
	SlowestHigh       time.Duration // the longest wait of those that have started; 0: none has
	SharedSlots       int
	LowReady          int
	LowMore           bool // there are more than LowReady
	LowRunning        int
	OldestLow         time.Duration
}

// highLine is how long one urgent job waited for its start.
type highLine struct {
	offstage.JobInfo
	Wait    time.Duration
	Started bool
}

// MarshalJSON writes what programs want to know.
func (p prioritiesPage) MarshalJSON() ([]byte, error) {
	type high struct {
		ID     offstage.ID    `json:"id"`
		State  offstage.State `json:"state"`
		WaitMS *float64       `json:"wait_ms"` // from the enqueue to the start; null: it has not started
	}
	lines := []high{}
	for _, line := range p.High {
		one := high{ID: line.ID, State: line.State}
		if line.Started {
			one.WaitMS = new(float64(line.Wait.Microseconds()) / 1000)
		}
		lines = append(lines, one)
	}
	return json.Marshal(map[string]any{
		highQueue: lines, lowQueue: map[string]any{"ready": p.LowReady, "more": p.LowMore, "running": p.LowRunning},
	})
}

// showPriorities is GET /priorities.
func (s *service) showPriorities(w http.ResponseWriter, r *http.Request) {
	page, err := s.newPrioritiesPage(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	if status.PrefersJSON(r) {
		s.writeJSON(w, http.StatusOK, page)
		return
	}
	s.render(w, http.StatusOK, "priorities", page)
}

func (s *service) newPrioritiesPage(ctx context.Context) (prioritiesPage, error) {
	page := prioritiesPage{frame: frame{Title: "Priorities", Nav: "priorities"}, LowJobs: lowJobs, HighJobs: highJobs, SharedSlots: sharedSlots}
	high, err := s.client.List(ctx, offstage.Filter{Queue: highQueue, Limit: highJobs})
	if err != nil {
		return page, err
	}
	for _, job := range high.Jobs {
		one := highLine{JobInfo: job}
		if !job.StartedAt.IsZero() {
			one.Started, one.Wait = true, max(job.StartedAt.Sub(job.CreatedAt), 0)
			page.SlowestHigh = max(page.SlowestHigh, one.Wait)
		}
		if !job.State.Terminal() {
			page.Every = liveFast
		}
		page.High = append(page.High, one)
	}
	var oldest time.Time
	page.LowReady, oldest, page.LowMore, err = s.countReady(ctx, lowQueue)
	if err != nil {
		return page, err
	}
	if page.LowReady > 0 {
		page.OldestLow = time.Since(oldest)
		page.Every = liveFast
	}
	running, err := s.client.List(ctx, offstage.Filter{Queue: lowQueue, State: offstage.Running, Limit: 1000})
	page.LowRunning = len(running.Jobs)
	if page.LowRunning > 0 {
		page.Every = liveFast
	}
	return page, err
}

// maxListed is where the page stops counting.
const maxListed = 4000

// countReady counts a queue's ready jobs now; the store's own figures are a few
// seconds old.
func (s *service) countReady(ctx context.Context, queue string) (n int, oldest time.Time, more bool, err error) {
	filter := offstage.Filter{Queue: queue, State: offstage.Ready, Limit: 1000}
	for n < maxListed {
		page, err := s.client.List(ctx, filter)
		if err != nil {
			return n, oldest, false, err
		}
		n += len(page.Jobs)
		for _, job := range page.Jobs {
			if oldest.IsZero() || job.CreatedAt.Before(oldest) {
				oldest = job.CreatedAt
			}
		}
		if filter.After = page.Next; filter.After == "" {
			return n, oldest, false, nil
		}
	}
	return n, oldest, true, nil
}
