package status

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
)

// Defaults of a Config.
const (
	DefaultPrefix   = "/status"
	DefaultLinkLife = 7 * 24 * time.Hour
	DefaultMaxWait  = 30 * time.Second
	// MaxAhead is where the counting of the jobs before one stops.
	MaxAhead = 1000
)

// Config says how an application's users follow its jobs. The zero value is
// usable: links work for whoever has them, and nobody may cancel.
type Config struct {
	// Prefix is the path under which the Flows are mounted, without a slash at
	// its end; "" means DefaultPrefix.
	Prefix string
	// LinkLife is how long a link works, from a day on rounded up to a full hour;
	// 0 means DefaultLinkLife. A job that is gone takes its links along.
	LinkLife time.Duration
	// Wait is how long a request without a preference waits for its job before
	// it is answered with 202; 0: not at all.
	Wait time.Duration
	// MaxWait bounds what a client may ask to wait; 0 means DefaultMaxWait.
	MaxWait time.Duration
	// User says who sends a request. With it a link works only for requests of
	// the same user as the one that got it, and idempotency keys are each user's
	// own. nil: links work for whoever has them. It must tell "" for nobody.
	User func(*http.Request) string
	// Title says what a job is in its user's words; nil: its kind.
	Title func(offstage.Facts) string
	// Cancel says whether the request's sender may cancel the job; nil: nobody
	// may.
	Cancel func(*http.Request, offstage.JobInfo) bool
	// Result says where the result of a completed job is to be seen, as with a
	// page of the application's; nil or "": in the status itself.
	Result func(offstage.JobInfo) string
	// Step says what a step is in its user's words, "" to hide it, and whether he
	// may know its result, which is the handler's own matter otherwise; nil: steps
	// are hidden.
	Step func(offstage.StepInfo) (name string, result bool)
	// Files holds the files that jobs leave as results; nil: there are none.
	Files *Files
	// Limits bound queues, by name: beyond a queue's limit nothing is accepted.
	Limits map[string]Limit
	// Page writes the page of a job for a browser; nil: a plain page.
	Page func(http.ResponseWriter, *http.Request, Status)
	// Refuse answers a request that was refused or failed; nil: problem+json
	// (RFC 9457), or a plain page for a browser.
	Refuse func(http.ResponseWriter, *http.Request, *Problem)
	// Logger gets what goes wrong here; nil: slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if !strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") || strings.ContainsAny(c.Prefix, "{} ") {
		return c, &offstage.InvalidError{Field: "prefix", Problem: fmt.Sprintf("%q is not a path such as /status: it begins with a slash and does not end with one", c.Prefix)}
	}
	if c.LinkLife < 0 || c.Wait < 0 || c.MaxWait < 0 {
		return c, &offstage.InvalidError{Field: "link life", Problem: "durations cannot be negative"}
	}
	if c.LinkLife == 0 {
		c.LinkLife = DefaultLinkLife
	}
	if c.MaxWait == 0 {
		c.MaxWait = DefaultMaxWait
	}
	if c.Title == nil {
		c.Title = func(job offstage.Facts) string { return job.Kind }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// Flows accept requests as jobs, and are the HTTP handler of these jobs' status
// resources. They are safe for concurrent use, start no goroutines of their own
// but while somebody follows a job, and need no closing; see [Flows.Stop].
type Flows struct {
	cfg    Config
	client *offstage.Client
	tokens tokens
	lines  lines
	paces  paces
	serve  http.Handler

	streams atomic.Int64 // open

	stopping sync.Once
	stopped  chan struct{} // closed by Stop
}

// New returns Flows for a client's jobs. The key that signs links is made once
// and kept in the store: links survive restarts and work in every process.
func New(ctx context.Context, client *offstage.Client, cfg Config) (*Flows, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key)
	if key, err = client.Setting(ctx, "status/signing-key", key); err != nil {
		return nil, fmt.Errorf("keep the key that signs links: %w", err)
	}
	f := &Flows{cfg: cfg, client: client, tokens: tokens{key}, stopped: make(chan struct{})}
	f.serve = http.NewCrossOriginProtection().Handler(f.routes())
	return f, nil
}

func (f *Flows) routes() http.Handler {
	mux, at := http.NewServeMux(), f.cfg.Prefix
	mux.HandleFunc("GET "+at+"/status.js", serveAsset)
	mux.HandleFunc("GET "+at+"/status.css", serveAsset)
	mux.HandleFunc("GET "+at+"/{token}", f.show)
	mux.HandleFunc("GET "+at+"/{token}/events", f.stream)
	mux.HandleFunc("GET "+at+"/{token}/result", f.result)
	mux.HandleFunc("GET "+at+"/{token}/files/{name}", f.file)
	mux.HandleFunc("POST "+at+"/{token}/cancel", f.cancel)
	mux.HandleFunc(at+"/", func(w http.ResponseWriter, r *http.Request) { f.Refuse(w, r, errNoStatus) })
	return mux
}

// ServeHTTP answers requests for status resources and what belongs to them.
func (f *Flows) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.serve.ServeHTTP(w, r) }

// Stop ends all streams and long polls, as when the server is about to be shut
// down: server.RegisterOnShutdown(flows.Stop). Their clients connect again, to
// another process. New ones end at once; all else goes on. It may be called more
// than once.
func (f *Flows) Stop() { f.stopping.Do(func() { close(f.stopped) }) }

// untilStop returns a context that ends with ctx or when the Flows are stopped.
func (f *Flows) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-f.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Link returns the address of a job's status for the sender of a request; it
// works for the usual time from now. Without Config.User the request may be nil, as
// for a link in a mail.
func (f *Flows) Link(r *http.Request, job offstage.ID) string { return f.link(r, job, time.Now()) }

// link returns a job's address that works for the usual time from a moment.
func (f *Flows) link(r *http.Request, job offstage.ID, from time.Time) string {
	expires := from.Add(f.cfg.LinkLife)
	if f.cfg.LinkLife >= 24*time.Hour {
		// Until a full hour, so that pages which show links stay the same for a while.
		expires = expires.Truncate(time.Hour).Add(time.Hour)
	}
	return f.cfg.Prefix + "/" + f.tokens.sign(token{job: job, expires: expires, user: f.user(r), bound: f.cfg.User != nil})
}

// user is who sends a request.
func (f *Flows) user(r *http.Request) string {
	if f.cfg.User == nil {
		return ""
	}
	return f.cfg.User(r)
}
