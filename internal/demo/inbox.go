package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/http"
	"time"
)

// mailed is a mail in the inbox.
type mailed struct {
	ID       string // its Message-ID; "": it has none
	From, To string
	Subject  string
	Text     string
	Received time.Time
}

// A mail that comes again under its Message-ID is there already, as at many mail
// servers: so a sender that did not hear of its success may send again.
const (
	sqlMakeMails = `CREATE TABLE IF NOT EXISTS offstage_demo_mail (id TEXT PRIMARY KEY, sender TEXT NOT NULL, recipient TEXT NOT NULL,
subject TEXT NOT NULL, body TEXT NOT NULL, received BIGINT NOT NULL)`
	sqlDeliver = `INSERT INTO offstage_demo_mail (id, sender, recipient, subject, body, received) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING`
	sqlMails   = `SELECT id, sender, recipient, subject, body, received FROM offstage_demo_mail ORDER BY received DESC, id LIMIT $1`
	sqlOldMail = `DELETE FROM offstage_demo_mail WHERE received < $1`
)

// keepMails is how long a mail stays in the inbox.
const keepMails = 30 * 24 * time.Hour

// deliver puts a mail into the inbox.
func (t *Tables) deliver(ctx context.Context, m mailed) error {
	if m.ID == "" {
		m.ID = rand.Text()
	}
	_, err := t.db.ExecContext(ctx, sqlDeliver, m.ID, m.From, m.To, m.Subject, m.Text, time.Now().UnixMilli())
	return err
}

// mails returns the latest mails.
func (t *Tables) mails(ctx context.Context, limit int) (found []mailed, err error) {
	err = t.each(ctx, func(rows *sql.Rows) error {
		var m mailed
		var received int64
		err := rows.Scan(&m.ID, &m.From, &m.To, &m.Subject, &m.Text, &received)
		m.Received = time.UnixMilli(received)
		found = append(found, m)
		return err
	}, sqlMails, limit)
	return found, err
}

// removeMails removes the mails that came before a time.
func (t *Tables) removeMails(ctx context.Context, before time.Time) (int, error) {
	result, err := t.db.ExecContext(ctx, sqlOldMail, before.UnixMilli())
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// inboxPage shows the latest mails.
type inboxPage struct {
	frame
	Addr     string // of this process's mail server
	Schedule scheduleLine
	Mails    []mailed
}

// maxMails is how many mails the page shows.
const maxMails = 20

// showInbox is GET /inbox.
func (s *service) showInbox(w http.ResponseWriter, r *http.Request) {
	page := inboxPage{frame: frame{Title: "Inbox", Nav: "schedules", Every: liveSlow}, Addr: s.mailAddr.String()}
	var err error
	if page.Schedule, err = s.scheduleLine(r.Context(), digestSchedule); err == nil {
		page.Mails, err = s.tables.mails(r.Context(), maxMails)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, http.StatusOK, "inbox", page)
}
