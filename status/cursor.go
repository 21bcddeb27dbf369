package status

import (
	"strconv"
	"strings"

	"github.com/offstagehq/offstage"
)

// cursor names a moment in a job's life, among the events that its user gets. It
// is made of what the store holds, so every process makes the same: the job, its
// latest attempt, and what the attempt has come to.
type cursor struct {
	job offstage.ID
	run int
	// at is "end" when the job has ended; while it runs, the store's time of its
	// latest progress in microseconds, "0" without; while it waits, the name of
	// its state with the time when it is due. "ended" is the end of an attempt
	// that was not the last.
	at string
}

const (
	atEnd   = "end"
	atEnded = "ended"
	atReset = "reset" // nothing is known yet
)

// cursorOf names the moment at which a job was seen.
func cursorOf(job offstage.JobInfo) cursor {
	c := cursor{job: job.ID, run: job.Run}
	switch {
	case job.State.Terminal():
		c.at = atEnd
	case job.State != offstage.Running:
		c.at = job.State.String() + strconv.FormatInt(job.RunAt.UnixMicro(), 10)
	default:
		c.at = "0"
		if p := job.Progress; p != nil && p.Run == job.Run {
			c.at = strconv.FormatInt(p.At.UnixMicro(), 10)
		}
		if job.CancelAsked {
			c.at += "c"
		}
	}
	return c
}

// String returns "job.run.at".
func (c cursor) String() string {
	return c.job.String() + "." + strconv.Itoa(c.run) + "." + c.at
}

// parseCursor reads what String wrote.
func parseCursor(text string) (cursor, bool) {
	job, rest, _ := strings.Cut(text, ".")
	run, at, _ := strings.Cut(rest, ".")
	id, err := offstage.ParseID(job)
	n, errRun := strconv.Atoi(run)
	return cursor{id, n, at}, err == nil && errRun == nil && n >= 0 && at != "" && len(at) < 40
}

// knowsEnd reports whether who is at this moment knows that its attempt has ended.
func (c cursor) knowsEnd() bool { return c.at == "" || c.at[0] > '9' }
