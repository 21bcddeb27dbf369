package status_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

// export is a job that leaves files.
type export struct {
	Name string `json:"name"`
}

func (export) Kind() string { return "export" }

// filesRig is a rig whose jobs leave files in a folder.
type filesRig struct {
	*rig
	files *status.Files
	dir   string
}

func eachWithFiles(t *testing.T, test func(*filesRig)) {
	t.Helper()
	dir := t.TempDir()
	each(t, status.Config{}, func(r *rig) {
		f := &filesRig{rig: r, dir: filepath.Join(dir, filepath.Base(r.Name()))}
		blobs, err := status.Dir(f.dir)
		if err != nil {
			r.Fatal(err)
		}
		f.files = status.NewFiles(r.client, blobs)
		f.rig = newRig(r.T, r.store, status.Config{Files: f.files})
		test(f)
	})
}

// export runs a job that writes a file in each of two attempts, of which the
// first fails, and returns the address of its status.
func (r *filesRig) export(name string) string {
	r.Helper()
	req := r.request("POST", "/builds", "")
	ticket, err := r.flows.Enqueue(req, export{name})
	if err != nil {
		r.Fatal(err)
	}
	w, err := worker.New(r.store, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.Fatal(err)
	}
	worker.Handle(w, func(ctx context.Context, job *offstage.Job[export]) error {
		file, err := r.files.Create(ctx, job.ID, job.Run, job.Args.Name, "text/html; charset=utf-8")
		if err != nil {
			return offstage.Fail(err)
		}
		defer file.Discard()
		if _, err := file.Write([]byte("<h1>" + strings.Repeat("0123456789", job.Run) + "</h1>")); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
		lost, err := r.files.Create(ctx, job.ID, job.Run, "never closed", "text/plain")
		if err != nil {
			return err
		}
		lost.Discard()
		if job.Run == 1 {
			return offstage.RetryAfter(time.Second)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	pass(10 * time.Second)
	cancel()
	if err := <-done; err != nil {
		r.Error(err)
	}
	return ticket.Location
}

// A completed job's file is downloaded by a signed link, whole or in parts.
func TestFile(t *testing.T) {
	eachWithFiles(t, func(r *filesRig) {
		got := r.status(r.export("größe & mehr.html"))
		if len(got.Files) != 1 || got.Files[0].Name != "größe & mehr.html" || got.Files[0].Size != 29 || got.Files[0].Type != "text/html; charset=utf-8" {
			r.Fatalf("the files are %+v", got.Files)
		}
		link := got.Files[0].URL
		answer := r.do("GET", link, "")
		if body := r.want(answer, http.StatusOK); body != "<h1>01234567890123456789</h1>" {
			r.Errorf("the file is %s", body)
		}
		r.header(answer, "Content-Type", "text/html; charset=utf-8")
		r.header(answer, "Accept-Ranges", "bytes")
		r.header(answer, "X-Content-Type-Options", "nosniff")
		if got := answer.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment") {
			r.Errorf("Content-Disposition: %s", got)
		}
		if got := answer.Header.Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") {
			r.Errorf("Content-Security-Policy: %s", got)
		}
		part := r.do("GET", link, "", "Range", "bytes=4-7", "If-Range", answer.Header.Get("ETag"))
		if body := r.want(part, http.StatusPartialContent); body != "0123" {
			r.Errorf("the part is %s", body)
		}
		r.header(part, "Content-Range", "bytes 4-7/29")
		r.want(r.do("GET", link, "", "Range", "bytes=100-"), http.StatusRequestedRangeNotSatisfiable)
		r.want(r.do("GET", link, "", "If-None-Match", answer.Header.Get("ETag")), http.StatusNotModified)
		if got := r.do("GET", link+"?view", "").Header.Get("Content-Disposition"); !strings.HasPrefix(got, "inline") {
			r.Errorf("Content-Disposition with ?view: %s", got)
		}
		pass(2 * time.Hour)
		r.want(r.do("GET", link, ""), http.StatusGone)
		if fresh := r.status(got.Links.Self).Files[0].URL; r.do("GET", fresh, "").StatusCode != http.StatusOK {
			r.Error("the status has no new link")
		}
	})
}

// A link to a file leads to that file and nowhere else.
func TestFileLinks(t *testing.T) {
	eachWithFiles(t, func(r *filesRig) {
		got := r.status(r.export("a.html"))
		link, self := got.Files[0].URL, got.Links.Self
		base := strings.TrimSuffix(link, "a.html")
		for _, path := range []string{
			base + "b.html", base + ".type-a.html", base + "..%2f..%2fa.html", base + "%2e%2e", base + "..%5ca.html", base + "%00", base,
			self + "/files/a.html", strings.TrimSuffix(base, "/files/"), base + "a.html/x", base + strings.Repeat("a", 10_000),
		} {
			answer := r.do("GET", path, "")
			if answer.StatusCode < 400 || answer.StatusCode > 499 {
				r.Errorf("%.60s is answered with %d", path, answer.StatusCode)
			}
		}
	})
}

// Names of files are checked when they are made.
func TestFileNames(t *testing.T) {
	eachWithFiles(t, func(r *filesRig) {
		for _, bad := range []string{"", ".", "..", ".type-a", "a/b", `a\b`, "../a", "/etc/passwd", "C:a", "a\x00", "a\nb", "\xff", strings.Repeat("a", 201)} {
			var invalid *offstage.InvalidError
			if _, err := r.files.Create(r.Context(), 1, 1, bad, "text/plain"); !errors.As(err, &invalid) || invalid.Field != "file name" {
				r.Errorf("the name %.20q: %v", bad, err)
			}
		}
		if _, err := r.files.Create(r.Context(), 1, 1, "a", "no type at all"); err == nil {
			r.Error("any content type is accepted")
		}
		if entries, err := os.ReadDir(r.dir); err != nil || len(entries) > 0 {
			r.Errorf("files were made: %v, %v", entries, err)
		}
	})
}

// Sweep removes what no job will show any more, and nothing else.
func TestSweep(t *testing.T) {
	eachWithFiles(t, func(r *filesRig) {
		path := r.export("a.html")
		gone := r.export("b.html")
		id := r.status(path).ID
		if err := r.client.Delete(r.Context(), r.status(gone).ID); err != nil {
			r.Fatal(err)
		}
		link := r.status(path).Files[0].URL
		removed, err := r.files.Sweep(r.Context())
		if err != nil || removed != 1 {
			r.Errorf("%d jobs' files were removed, %v", removed, err)
		}
		var left []string
		err = filepath.WalkDir(r.dir, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				left = append(left, strings.TrimPrefix(name, r.dir))
			}
			return err
		})
		want := []string{"/" + id.String() + "/2/.type-a.html", "/" + id.String() + "/2/.type-never closed", "/" + id.String() + "/2/a.html"}
		if err != nil || strings.Join(left, " ") != strings.Join(want, " ") {
			r.Errorf("left are %q, %v", left, err)
		}
		r.want(r.do("GET", link, ""), http.StatusOK)
	})
}

// Nobody has to sweep: a file goes when its job has, and then nothing is left to
// be done.
func TestFilesGoWithTheirJobs(t *testing.T) {
	eachWithFiles(t, func(r *filesRig) {
		r.export("a.html")
		gone := r.status(r.export("b.html")).ID
		if err := r.client.Delete(r.Context(), gone); err != nil {
			r.Fatal(err)
		}
		left := func() []string {
			entries, err := os.ReadDir(r.dir)
			if err != nil {
				r.Fatal(err)
			}
			names := []string{}
			for _, entry := range entries {
				names = append(names, entry.Name())
			}
			return names
		}
		if before := left(); len(before) != 2 {
			r.Errorf("the files of %v are there", before)
		}
		pass(time.Hour + time.Minute)
		synctest.Wait()
		if now := left(); len(now) != 1 || now[0] == gone.String() {
			r.Errorf("after an hour the files of %v are there; job %d is gone", now, gone)
		}
		defer r.work()()     // whose leader removes jobs
		pass(27 * time.Hour) // a completed one is kept for a day
		synctest.Wait()
		if now := left(); len(now) != 0 {
			r.Errorf("the files of %v have outlived their jobs", now)
		}
	})
}
