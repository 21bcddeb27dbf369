package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// maxForm is the most that a request other than an upload may bring.
const maxForm = 64 << 10

// routes returns the whole site.
func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.showOverview)
	mux.HandleFunc("GET /static/", s.static.serve)
	mux.HandleFunc("GET /sample.csv", s.sendSample)
	mux.Handle("POST /reports", s.flows.Once(http.HandlerFunc(s.createReport)))
	mux.Handle("POST /reports/sample", small(s.flows.Once(http.HandlerFunc(s.reportSample)).ServeHTTP))
	mux.Handle("GET /status/", s.flows)
	mux.Handle("POST /status/", s.flows)
	mux.HandleFunc("GET /devices", s.listDevices)
	mux.HandleFunc("GET /devices/{id}", s.showDevice)
	mux.Handle("POST /devices/{id}/commands", small(s.flows.Once(http.HandlerFunc(s.createCommand)).ServeHTTP))
	mux.HandleFunc("POST /devices/{id}/reports", small(s.takeReport))
	mux.HandleFunc("POST /devices/{id}/down", small(s.takeDown))
	mux.HandleFunc("GET /priorities", s.showPriorities)
	mux.HandleFunc("POST /priorities", small(s.startRush))
	mux.HandleFunc("GET /billing", s.showBilling)
	mux.HandleFunc("POST /billing", small(s.startBilling))
	mux.HandleFunc("GET /search", s.search)
	mux.HandleFunc("GET /inbox", s.showInbox)
	mux.HandleFunc("GET /schedules", s.showSchedules)
	mux.HandleFunc("POST /schedules/{name}/run", small(s.runSchedule))
	mux.HandleFunc("POST /schedules/{name}/pause", small(s.switchSchedule(s.client.PauseSchedule)))
	mux.HandleFunc("POST /schedules/{name}/resume", small(s.switchSchedule(s.client.ResumeSchedule)))
	mux.HandleFunc("GET /jobs", s.listJobs)
	mux.HandleFunc("GET /jobs/{id}", s.showJob)
	mux.HandleFunc("POST /jobs/{id}/retry", small(s.operate(s.client.Retry)))
	mux.HandleFunc("POST /jobs/{id}/cancel", small(s.operate(s.client.Cancel)))
	mux.HandleFunc("POST /jobs/{id}/run-now", small(s.operate(s.client.RunNow)))
	mux.HandleFunc("POST /jobs/{id}/delete", small(s.operate(s.remove)))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, refuse(http.StatusNotFound, "there is no such page"))
	})
	return s.guard(mux)
}

// small bounds a request's body.
func small(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next(w, r)
	}
}

// guard keeps other sites' pages out: it refuses their forms and scripts
// (CrossOriginProtection), host names that are not this machine's while only
// this machine is served (DNS rebinding), and allows pages nothing that is not
// from here.
func (s *service) guard(next http.Handler) http.Handler {
	protected := http.NewCrossOriginProtection()
	protected.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, refuse(http.StatusForbidden, "this request comes from another site's page"))
	}))
	inner := protected.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		if s.localOnly && !isLocalHost(r.Host) {
			s.fail(w, r, refuse(http.StatusMisdirectedRequest, "this service answers to localhost and 127.0.0.1 only"))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// isLocalHost reports whether a request's Host names the loopback interface.
func isLocalHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// closing is how long open requests may go on when the server stops. An upload
// that is cut off was never acknowledged.
const closing = 2 * time.Second

// serve answers requests until ctx ends, and returns when none is being answered.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	var answering sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answering.Add(1)
			defer answering.Done()
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the pages: %w", err)
	case <-ctx.Done():
	}
	// Detached: ctx has ended, and this is what happens then.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	err := server.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-served
	answering.Wait()
	return err
}
