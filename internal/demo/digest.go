package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/offstagehq/offstage"
)

// SendDigest is a job that mails what has happened since the digest before.
type SendDigest struct{}

// Kind returns "send_digest".
func (SendDigest) Kind() string { return "send_digest" }

// letter is a mail to be sent.
type letter struct {
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

const (
	mailFrom = "offstage@demo.example"
	mailTo   = "operator@demo.example"
	// mailTimeout is how long the mail server may take.
	mailTimeout = 10 * time.Second
)

// sendDigest writes the digest and sends it, each as a step. What was written is
// remembered, so a second try sends the same text, under the same Message-ID: it
// is in the inbox once, also if the answer to the first try was lost.
func (s *service) sendDigest(ctx context.Context, job *offstage.Job[SendDigest]) error {
	digest, err := offstage.Step(ctx, "write", func(ctx context.Context) (letter, error) {
		since, until := time.Now().Add(-24*time.Hour), time.Now()
		if job.Tick != nil && !job.Tick.Previous.IsZero() {
			since = job.Tick.Previous
		}
		return s.writeDigest(ctx, since, until)
	})
	if err != nil {
		return err
	}
	_, err = offstage.Step(ctx, "send", func(ctx context.Context) (string, error) {
		return s.send(ctx, digest)
	})
	return err
}

// send sends a mail to the inbox by SMTP and returns its Message-ID, which is the same
// whenever the step that it is called in is tried again. The server is on this
// machine and has no certificate.
func (s *service) send(ctx context.Context, l letter) (id string, err error) {
	id = offstage.IdempotencyKey(ctx) + "@demo.example"
	message := mail.NewMsg()
	if err := message.From(mailFrom); err != nil {
		return id, err
	}
	if err := message.To(mailTo); err != nil {
		return id, err
	}
	message.Subject(l.Subject)
	message.SetDate()
	message.SetMessageIDWithValue(id)
	message.SetBodyString(mail.TypeTextPlain, l.Text)
	client, err := mail.NewClient(s.mailAddr.Addr().String(), mail.WithPort(int(s.mailAddr.Port())),
		mail.WithTLSPolicy(mail.NoTLS), mail.WithTimeout(mailTimeout), mail.WithHELO("localhost"))
	if err != nil {
		return id, err
	}
	return id, client.DialAndSendWithContext(ctx, message)
}

const (
	// digestLines is how many reports a digest names.
	digestLines = 20
	// digestLooks is how many jobs of a kind a digest looks at.
	digestLooks = 10_000
)

// digested are the kinds that a digest tells of.
var digested = []struct {
	args  offstage.Args
	title string
}{
	{BuildReport{}, "Reports"}, {SendCommand{}, "Commands to devices"}, {BillCustomer{}, "Bills"},
}

// writeDigest says what has become of the jobs that were asked for in a time.
func (s *service) writeDigest(ctx context.Context, since, until time.Time) (letter, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "From %s to %s, UTC:\n\n", since.UTC().Format("2 January 15:04"), until.UTC().Format("2 January 15:04"))
	total, failed := 0, 0
	var names []string
	for _, kind := range digested {
		states := map[offstage.State]int{}
		jobs := 0
		err := s.jobsSince(ctx, kind.args.Kind(), since, func(job offstage.JobInfo) {
			jobs++
			states[job.State]++
			if job.Kind == (BuildReport{}).Kind() {
				names = append(names, s.describe(job.Facts)+": "+job.State.String())
			}
		})
		if err != nil {
			return letter{}, err
		}
		fmt.Fprintf(&text, "%s: %d%s\n", kind.title, jobs, inStates(states))
		total, failed = total+jobs, failed+states[offstage.Failed]
	}
	for _, name := range names[:min(len(names), digestLines)] {
		fmt.Fprintf(&text, "\n- %s", name)
	}
	if more := len(names) - digestLines; more > 0 {
		fmt.Fprintf(&text, "\n… and %d more reports", more)
	}
	jobs := "jobs"
	if total == 1 {
		jobs = "job"
	}
	return letter{fmt.Sprintf("Digest: %d %s, %d failed", total, jobs, failed), text.String()}, nil
}

// inStates writes how many jobs are in each state: " (3 completed, 1 failed)".
func inStates(jobs map[offstage.State]int) string {
	var parts []string
	for _, state := range offstage.States() {
		if jobs[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", jobs[state], state))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// jobsSince hands the jobs of a kind that were enqueued since a time to see, the
// latest first, and no more than digestLooks.
func (s *service) jobsSince(ctx context.Context, kind string, since time.Time, see func(offstage.JobInfo)) error {
	filter := offstage.Filter{Kind: kind, Limit: 500}
	for looks := 0; looks < digestLooks; {
		page, err := s.client.List(ctx, filter)
		if err != nil {
			return err
		}
		for _, job := range page.Jobs {
			if job.CreatedAt.Before(since) {
				return nil
			}
			looks++
			see(job)
		}
		if filter.After = page.Next; filter.After == "" {
			return nil
		}
	}
	return nil
}
