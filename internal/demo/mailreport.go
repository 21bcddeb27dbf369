package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// DefaultMailAfter is the time that a report's page has to be seen: it shows the
// end within a second, if it is open.
const DefaultMailAfter = 15 * time.Second

// MailReport is a job that follows a report and mails its user that it is ready, if
// he has closed the page.
type MailReport struct {
	Address string `json:"address"` // of the pages
}

// Kind returns "mail_report".
func (MailReport) Kind() string { return "mail_report" }

// thenMail has a report followed by a mail.
func (s *service) thenMail() offstage.Option { return offstage.Then(MailReport{s.address}) }

// mailReport begins when the report has ended, however it ended. A page that is
// open shows that end, which is noted; a while later the mail is sent, once, unless
// it was seen.
func (s *service) mailReport(ctx context.Context, job *offstage.Job[MailReport]) (string, error) {
	if err := offstage.Sleep(ctx, "give the page a moment", s.mailAfter); err != nil {
		return "", err
	}
	report := offstage.Followed(job.Facts)
	seen, err := s.tables.wasSeen(ctx, report)
	if err != nil || seen {
		return "it was seen on its page", err
	}
	ended, err := s.client.Get(ctx, report)
	if errors.Is(err, offstage.ErrNotFound) || err == nil && ended.State == offstage.Cancelled {
		return "there is nothing to tell", nil
	}
	if err != nil {
		return "", err
	}
	return offstage.Step(ctx, "send", func(ctx context.Context) (string, error) {
		id, err := s.send(ctx, s.reportLetter(ended, job.Args.Address))
		return "mailed as " + id, err
	})
}

// reportLetter says how a report has ended, with the way to it.
func (s *service) reportLetter(ended offstage.Details, address string) letter {
	title := s.describe(ended.Facts)
	l := letter{title + " is ready", "It is here:"}
	if ended.State != offstage.Completed {
		l = letter{title + " could not be built", "What was wrong: " + status.Message(ended.JobInfo) + "\n\nMore is here:"}
	}
	l.Text += fmt.Sprintf("\n%s%s\n\nYou get this mail since its page was closed when it ended.", address, s.flows.Link(nil, ended.ID))
	return l
}

// The reports whose end somebody has seen on their pages.
const (
	sqlMakeSeen = `CREATE TABLE IF NOT EXISTS offstage_demo_seen (job BIGINT PRIMARY KEY, at BIGINT NOT NULL)`
	sqlNoteSeen = `INSERT INTO offstage_demo_seen (job, at) VALUES ($1, $2) ON CONFLICT (job) DO NOTHING`
	sqlWasSeen  = `SELECT count(*) FROM offstage_demo_seen WHERE job = $1`
	sqlOldSeen  = `DELETE FROM offstage_demo_seen WHERE at < $1`
)

// noteSeen notes that a report's end was shown.
func (t *Tables) noteSeen(ctx context.Context, report offstage.ID) error {
	_, err := t.db.ExecContext(ctx, sqlNoteSeen, int64(report), time.Now().UnixMilli())
	return err
}

// wasSeen reports whether a report's end was shown.
func (t *Tables) wasSeen(ctx context.Context, report offstage.ID) (bool, error) {
	var n int
	err := t.db.QueryRowContext(ctx, sqlWasSeen, int64(report)).Scan(&n)
	return n > 0, err
}

// forgetSeen forgets what was seen before a time.
func (t *Tables) forgetSeen(ctx context.Context, before time.Time) error {
	_, err := t.db.ExecContext(ctx, sqlOldSeen, before.UnixMilli())
	return err
}
