// Command requests is a complete web application: its form is answered at once,
// and whoever sent it follows the job on a page of its own, which shows progress,
// lets it be cancelled, and has the file to download.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

// Export is a job that writes a file for its user.
type Export struct {
	Month string `json:"month"`
}

// Kind returns "export".
func (Export) Kind() string { return "export" }

// app is what the routes and the jobs share.
type app struct {
	flows *status.Flows
	files *status.Files
}

// export writes the file line by line and tells how far it is.
func (a *app) export(ctx context.Context, job *offstage.Job[Export]) (string, error) {
	if _, err := time.Parse("2006-01", job.Args.Month); err != nil {
		return "", offstage.Fail(status.Tell("a month is written as in 2026-11", err))
	}
	file, err := a.files.Create(ctx, job.ID, job.Run, job.Args.Month+".csv", "text/csv")
	if err != nil {
		return "", err
	}
	defer file.Discard()
	const rows = 200
	for row := int64(1); row <= rows; row++ {
		if _, err := fmt.Fprintf(file, "%s,%d\n", job.Args.Month, row); err != nil {
			return "", err
		}
		offstage.Progress(ctx, row, rows, "writing the file")
		select {
		case <-time.After(50 * time.Millisecond): // real work takes its time, too
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	return "200 rows", file.Close()
}

// create turns a form into a job and answers it: 202 or a page to look at.
func (a *app) create(w http.ResponseWriter, r *http.Request) {
	a.flows.Accept(w, r, Export{Month: r.PostFormValue("month")})
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprint(w, `<!DOCTYPE html><title>Export</title><form method="post" action="/exports">
<label>Month <input name="month" value="2026-11"></label> <button>Export</button></form>`)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	store, err := sqlite.Open(ctx, "requests.db")
	check(err)
	client := offstage.NewClient(store)
	blobs, err := status.Dir("requests-files")
	check(err)
	files := status.NewFiles(client, blobs)
	flows, err := status.New(ctx, client, status.Config{
		Files:  files,
		Title:  func(offstage.Facts) string { return "Your export" },
		Cancel: func(*http.Request, offstage.JobInfo) bool { return true },
		Limits: map[string]status.Limit{offstage.DefaultQueue: {Depth: 1000}},
	})
	check(err)
	a := &app{flows, files}

	w, err := worker.New(store, worker.Config{})
	check(err)
	worker.HandleResult(w, a.export)
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.Handle("POST /exports", flows.Once(http.HandlerFunc(a.create)))
	mux.Handle("GET /status/", flows)
	mux.Handle("POST /status/", flows)
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	server.RegisterOnShutdown(flows.Stop)
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	fmt.Println("open http://127.0.0.1:8080")
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		check(err)
	}
	check(<-ended)
	check(store.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
