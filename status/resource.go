package status

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/offstagehq/offstage"
)

// Status is what a job's user may know of it, as JSON and for pages. All keys
// are always there; what is empty is null.
type Status struct {
	ID       offstage.ID     `json:"id"`
	Kind     string          `json:"kind"`
	Title    string          `json:"title"`
	State    offstage.State  `json:"state"`
	Attempt  int             `json:"attempt"` // the latest; 0: it has not started
	Progress *Progress       `json:"progress"`
	Result   json.RawMessage `json:"result"` // of a completed job
	Error    *string         `json:"error"`  // what its user should know of its trouble

	// Position is where a ready job stands in its queue.
	Position *Position `json:"position"`
	// StartsAt is when the next attempt is due, or about when a ready job will
	// start, if that is known.
	StartsAt   *time.Time `json:"starts_at"`
	Cancelling bool       `json:"cancelling"` // it runs, and will be cancelled
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Attempts   []Attempt  `json:"attempts"` // those that have ended, the latest 20, oldest first
	Steps      []Step     `json:"steps"`    // what Config.Step shows of them, oldest first
	Files      []File     `json:"files"`    // what a completed job left
	Links      Links      `json:"links"`

	cursor string // names this moment among the job's events
}

// Progress is how far the latest attempt is.
type Progress struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total"` // 0: unknown
	Message string `json:"message"`
}

// Position is where a ready job stands in its queue.
type Position struct {
	Ahead int  `json:"ahead"` // jobs that will start before it
	More  bool `json:"more"`  // there are more than that; they were not counted
}

// Attempt is an attempt that has ended.
type Attempt struct {
	Attempt    int              `json:"attempt"`
	Outcome    offstage.Outcome `json:"outcome"`
	Error      *string          `json:"error"`
	StartedAt  *time.Time       `json:"started_at"`
	FinishedAt time.Time        `json:"finished_at"`
}

// Step is a part of the job of which it remembers that it was done, so that a
// later attempt passes over it.
type Step struct {
	Name       string          `json:"name"`
	State      StepState       `json:"state"`
	Attempt    int             `json:"attempt"` // in which it was done
	Tries      int             `json:"tries"`   // that it took in this attempt
	StartedAt  *time.Time      `json:"started_at"`
	FinishedAt *time.Time      `json:"finished_at"`
	Until      *time.Time      `json:"until"`  // of one that sleeps
	Result     json.RawMessage `json:"result"` // if its user may know it
}

// StepState says how far a step is.
type StepState string

// The states of a step.
const (
	StepDone     StepState = "done"
	StepSleeping StepState = "sleeping"
)

// maxSteps is how many steps a status shows.
const maxSteps = 100

// Links are where more is to be had.
type Links struct {
	Self   string  `json:"self"`
	Events string  `json:"events"`
	Result *string `json:"result"` // of a completed job
	Cancel *string `json:"cancel"` // to be sent a POST; null: it cannot be cancelled, or not by this user
}

// maxShown is how many attempts a status shows.
const maxShown = 20

// statusOf makes the status of a job for the sender of a request, but for its
// place in the queue.
func (f *Flows) statusOf(r *http.Request, job offstage.Details, self string) Status {
	s := f.briefOf(r, job.JobInfo, self)
	if job.State == offstage.Completed {
		s.Result = job.Result
		s.Links.Result = f.resultLink(job.JobInfo, self)
		s.Files = f.filesOf(r, job.JobInfo)
	}
	for _, a := range job.Attempts[max(0, len(job.Attempts)-maxShown):] {
		s.Attempts = append(s.Attempts, attemptOf(a))
	}
	s.Steps = f.stepsOf(job.Steps)
	return s
}

// stepsOf makes what a user may know of the latest of a job's steps.
func (f *Flows) stepsOf(steps []offstage.StepInfo) []Step {
	shown := []Step{}
	if f.cfg.Step == nil {
		return shown
	}
	for _, info := range steps {
		name, result := f.cfg.Step(info)
		if name == "" || info.Kind == offstage.StepCursor {
			continue
		}
		step := Step{
			Name: name, State: StepDone, Attempt: info.Run, Tries: info.Tries,
			StartedAt: timeOrNull(info.StartedAt), FinishedAt: timeOrNull(info.FinishedAt),
		}
		if info.Kind == offstage.StepSleep && info.Left > 0 {
			step.State, step.FinishedAt, step.Until = StepSleeping, nil, timeOrNull(info.WakeAt)
		}
		if result {
			step.Result = info.Value
		}
		shown = append(shown, step)
	}
	return shown[max(0, len(shown)-maxSteps):]
}

// briefOf makes a status without what takes more looks: result, files, history.
func (f *Flows) briefOf(r *http.Request, job offstage.JobInfo, self string) Status {
	s := Status{
		ID: job.ID, Kind: job.Kind, State: job.State, Attempt: job.Run, Cancelling: job.CancelAsked, CreatedAt: job.CreatedAt,
		StartedAt: timeOrNull(job.StartedAt), FinishedAt: timeOrNull(job.FinishedAt), Attempts: []Attempt{}, Steps: []Step{}, Files: []File{},
		Links: Links{Self: self, Events: self + "/events"}, cursor: cursorOf(job).String(),
	}
	if job.Kind != "" {
		s.Title = f.cfg.Title(job.Facts)
	}
	if p := job.Progress; p != nil && p.Run == job.Run {
		s.Progress = &Progress{p.Done, p.Total, p.Message}
	}
	if text := Message(job); text != "" {
		s.Error = &text
	}
	if job.State == offstage.Scheduled || job.State == offstage.Retrying {
		s.StartsAt = timeOrNull(job.RunAt)
	}
	if !job.State.Terminal() && !job.CancelAsked && f.cfg.Cancel != nil && job.State != 0 && f.cfg.Cancel(r, job) {
		cancel := self + "/cancel"
		s.Links.Cancel = &cancel
	}
	return s
}

func attemptOf(a offstage.Attempt) Attempt {
	shown := Attempt{Attempt: a.Run, Outcome: a.Outcome, StartedAt: timeOrNull(a.StartedAt), FinishedAt: a.FinishedAt}
	if text := messageOf(a.Next, a.Outcome, a.Error); text != "" {
		shown.Error = &text
	}
	return shown
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// resultLink is where a completed job's result is to be seen.
func (f *Flows) resultLink(job offstage.JobInfo, self string) *string {
	link := ""
	if f.cfg.Result != nil {
		link = f.cfg.Result(job)
	}
	if link == "" && job.Result != nil {
		link = self + "/result"
	}
	if link == "" {
		return nil
	}
	return &link
}

// lookAgain is how soon it is worth while to ask for the status again.
func (s *Status) lookAgain() time.Duration {
	if s.StartsAt != nil && s.State != offstage.Ready {
		return min(max(time.Until(*s.StartsAt), time.Second), time.Minute)
	}
	return time.Second
}
