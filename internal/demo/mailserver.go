package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"
	"github.com/wneessen/go-mail"
)

const (
	// maxMail is the longest mail that is taken in, in bytes.
	maxMail = 1 << 20
	// maxMailText is how much of its text is kept.
	maxMailText = 64 << 10
	// mailPatience is how long a sender may say nothing.
	mailPatience = 30 * time.Second
)

// withInbox serves the inbox's mail server while do runs: a real one, on a free
// port of this machine. Each process has its own, and all keep their mails in the
// same table.
func (s *service) withInbox(ctx context.Context, do func(context.Context) error) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for mail: %w", err)
	}
	s.mailAddr = listener.Addr().(*net.TCPAddr).AddrPort()
	server := s.newMailServer(context.WithoutCancel(ctx)) // the last jobs still send
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = do(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	if stopped := server.Shutdown(last); stopped != nil && !errors.Is(stopped, context.DeadlineExceeded) {
		err = errors.Join(err, stopped)
	}
	if broken := <-served; broken != nil && !errors.Is(broken, smtp.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve the inbox: %w", broken))
	}
	return err
}

func (s *service) newMailServer(ctx context.Context) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailSession{deliver: func(m mailed) error { return s.tables.deliver(ctx, m) }, log: s.log}, nil
	}))
	server.Domain = "localhost"
	server.MaxMessageBytes, server.MaxRecipients = maxMail, 10
	server.ReadTimeout, server.WriteTimeout = mailPatience, mailPatience
	server.EnableSMTPUTF8 = true
	server.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	return server
}

// mailSession is a conversation with a sender. It is for one goroutine.
type mailSession struct {
	deliver  func(mailed) error
	log      *slog.Logger
	from, to string
}

// Mail takes the sender.
func (m *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	m.from = from
	return nil
}

// Rcpt takes a recipient; the inbox is everybody's.
func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if m.to != "" {
		to = m.to + ", " + to
	}
	m.to = to
	return nil
}

// Data takes the mail itself. Whoever is told that it was taken need not send it
// again: it is in the table then.
func (m *mailSession) Data(r io.Reader) error {
	message, err := mail.EMLToMsgFromReader(r)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "This is no mail: " + oneLine(err.Error())}
	}
	text, err := textOf(message)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Its text cannot be read: " + oneLine(err.Error())}
	}
	err = m.deliver(mailed{
		ID: oneLine(strings.Trim(message.GetMessageID(), "<> ")), From: oneLine(m.from), To: oneLine(m.to),
		Subject: oneLine(decoded(message.GetGenHeader(mail.HeaderSubject))), Text: text,
	})
	if err != nil {
		m.log.Error("a mail was not kept", "err", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "It cannot be kept now; send it again"}
	}
	return nil
}

// Reset forgets the mail that was begun.
func (m *mailSession) Reset() { m.from, m.to = "", "" }

// Logout ends the conversation.
func (*mailSession) Logout() error { return nil }

// textOf returns the plain text of a mail, or what comes first.
func textOf(message *mail.Msg) (string, error) {
	parts := message.GetParts()
	if len(parts) == 0 {
		return "", nil
	}
	part := parts[0]
	for _, other := range parts {
		if other.GetContentType() == mail.TypeTextPlain {
			part = other
			break
		}
	}
	content, err := part.GetContent()
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(content), "�"))
	return strings.ToValidUTF8(text[:min(len(text), maxMailText)], ""), err
}

// decoded returns a header's text; what cannot be decoded stays as it is.
func decoded(values []string) string {
	text := strings.Join(values, " ")
	if plain, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
		return plain
	}
	return text
}

// oneLine makes a text fit for a line of at most 200 bytes.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return strings.ToValidUTF8(text[:min(len(text), 200)], "")
}
