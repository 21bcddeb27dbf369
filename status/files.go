package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
)

// Blobs keep the files that jobs leave. [Dir] does so in a directory; an
// application may bring another, as for an object store. Its methods may be
// called by many goroutines, also of several processes. A file that is not there
// is [fs.ErrNotExist].
type Blobs interface {
	// Create begins a file, in place of one that is there under this key.
	Create(ctx context.Context, key BlobKey, contentType string) (BlobWriter, error)
	// Open returns a file that was closed without an error.
	Open(ctx context.Context, key BlobKey) (Blob, error)
	// List returns the files of a job, by run and name.
	List(ctx context.Context, job offstage.ID) ([]BlobInfo, error)
	// Remove removes the files of a job, but for those of one run; 0 is none.
	Remove(ctx context.Context, job offstage.ID, except int) error
	// Jobs returns up to limit of the jobs that have files, in the order of their
	// ids, after one of them; 0 is the beginning.
	Jobs(ctx context.Context, after offstage.ID, limit int) ([]offstage.ID, error)
}

// BlobKey names a file. Each attempt has its own, so that one which was taken for
// dead replaces nothing.
type BlobKey struct {
	Job  offstage.ID
	Run  int
	Name string // as checked by Files.Create
}

// BlobInfo is what is known of a file.
type BlobInfo struct {
	BlobKey
	Size int64
	Type string // its content type
	At   time.Time
}

// Blob is a file that is open for reading, by one goroutine.
type Blob interface {
	io.ReadSeekCloser
	// Info describes the file.
	Info() BlobInfo
}

// BlobWriter takes a file's content. It is for one goroutine.
type BlobWriter interface {
	io.Writer
	// Close makes the file durable and seen, as a whole. Without it, nobody ever
	// sees the file.
	Close() error
	// Discard drops what was written; after Close it does nothing.
	Discard()
}

// Files are what jobs leave for their users to download. They go with their
// jobs: whoever uses Files, in whatever process, sweeps once an hour as long as
// there are files. They are safe for concurrent use, have no goroutine of their
// own but while they sweep, and need no closing.
type Files struct {
	client *offstage.Client
	blobs  Blobs
	swept  atomic.Bool // a sweep is to come
}

// NewFiles returns the files of a client's jobs.
func NewFiles(client *offstage.Client, blobs Blobs) *Files {
	return &Files{client: client, blobs: blobs}
}

// maxFileName limits the name of a file, in bytes.
const maxFileName = 200

// Create begins a file of a running attempt, for its handler:
//
//	file, err := files.Create(ctx, job.ID, job.Run, "report.csv", "text/csv")
//	…
//	defer file.Discard()
//	… write …
//	return file.Close()
//
// The name is for the user: 1 to 200 bytes without slashes and control
// characters, not beginning with a point; anything else is an InvalidError. The
// file can be downloaded when this very attempt has completed, as long as the job
// is kept.
func (f *Files) Create(ctx context.Context, job offstage.ID, run int, name, contentType string) (BlobWriter, error) {
	if err := checkFileName(name); err != nil {
		return nil, err
	}
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		return nil, &offstage.InvalidError{Field: "content type", Problem: fmt.Sprintf("%.100q is not one: %v", contentType, err)}
	}
	f.sweepLater()
	return f.blobs.Create(ctx, BlobKey{job, run, name}, contentType)
}

func checkFileName(name string) error {
	invalid := func(problem string) error {
		return &offstage.InvalidError{Field: "file name", Problem: fmt.Sprintf("%.100q %s", name, problem)}
	}
	switch {
	case name == "" || len(name) > maxFileName:
		return invalid(fmt.Sprintf("has %d bytes, not from 1 to %d", len(name), maxFileName))
	case name[0] == '.':
		return invalid("begins with a point")
	case strings.ContainsAny(name, `/\:`):
		return invalid("holds a slash, a backslash or a colon")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return invalid("holds what cannot be printed")
	}
	return nil
}

// File is a file that a completed job left.
type File struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int64  `json:"size"`
	URL  string `json:"url"` // works for an hour or two; the status has a new one
}

// fileLife is how long a link to a file works at least.
const fileLife = time.Hour

// filesOf returns a completed job's files with links.
func (f *Flows) filesOf(r *http.Request, job offstage.JobInfo) []File {
	files := []File{}
	if f.cfg.Files == nil {
		return files
	}
	f.cfg.Files.sweepLater()
	blobs, err := f.cfg.Files.blobs.List(r.Context(), job.ID)
	if err != nil {
		f.cfg.Logger.ErrorContext(r.Context(), "offstage: list a job's files", "job", job.ID, "err", err)
	}
	// The end of the link's life is a full hour, so that it stays the same for a while.
	expires := time.Now().Add(fileLife).Truncate(time.Hour).Add(time.Hour)
	for _, blob := range blobs {
		if blob.Run != job.Run {
			continue
		}
		link := f.tokens.sign(token{job: job.ID, expires: expires, user: f.user(r), bound: f.cfg.User != nil, file: blob.Name})
		files = append(files, File{blob.Name, blob.Type, blob.Size, f.cfg.Prefix + "/" + link + "/files/" + url.PathEscape(blob.Name)})
	}
	return files
}

// file is GET {prefix}/{token}/files/{name}: a file, to keep or with ?view to
// look at. Parts of it can be asked for (RFC 9110, ranges). A page among the
// files may style itself, but runs no scripts and belongs to no site.
func (f *Flows) file(w http.ResponseWriter, r *http.Request) {
	blob, err := f.openFile(r)
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoFile
	}
	if err != nil {
		f.Refuse(w, r, err)
		return
	}
	defer func() { _ = blob.Close() }() // it was only read
	info, header := blob.Info(), w.Header()
	disposition := "attachment"
	if r.URL.Query().Has("view") {
		disposition = "inline"
	}
	header.Set("Content-Type", info.Type)
	header.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": info.Name}))
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "private, no-cache")
	header.Set("ETag", fmt.Sprintf(`"%d.%d.%d.%d"`, info.Job, info.Run, info.Size, info.At.UnixMicro()))
	http.ServeContent(w, r, "", info.At, blob)
}

// openFile opens the file that a request's link names.
func (f *Flows) openFile(r *http.Request) (Blob, error) {
	name := r.PathValue("name")
	if f.cfg.Files == nil || checkFileName(name) != nil {
		return nil, errNoFile
	}
	link, err := f.tokens.open(r.PathValue("token"), f.user(r), name, time.Now())
	if err != nil {
		return nil, err
	}
	infos, err := f.client.Look(r.Context(), []offstage.ID{link.job})
	switch {
	case err != nil:
		return nil, err
	case len(infos) == 0:
		return nil, errGone
	case infos[0].State != offstage.Completed:
		return nil, errNoFile // it was run again
	}
	return f.cfg.Files.blobs.Open(r.Context(), BlobKey{link.job, infos[0].Run, name})
}

func sizeOf(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
