package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

const (
	// cleanEvery is the time between clean-ups.
	cleanEvery = 10 * time.Minute
	// keepFiles is how long the files of a job are kept after its end.
	keepFiles = 24 * time.Hour
)

// CleanUploads is a job that removes old files and mails.
type CleanUploads struct{}

// Kind returns "clean_uploads".
func (CleanUploads) Kind() string { return "clean_uploads" }

// cleanUploads removes what is no longer wanted.
func (s *service) cleanUploads(ctx context.Context, _ *offstage.Job[CleanUploads]) error {
	removed, kept, err := s.clean(ctx, time.Now().Add(-keepFiles))
	if err != nil {
		return err
	}
	results, err := s.results.Sweep(ctx)
	if err != nil {
		return err
	}
	mails, err := s.tables.removeMails(ctx, time.Now().Add(-keepMails))
	if err != nil {
		return err
	}
	if err := s.tables.forgetSeen(ctx, time.Now().Add(-keepFiles)); err != nil {
		return err
	}
	removed += results + mails
	message := fmt.Sprintf("%d removed, %d kept", removed, kept)
	offstage.Progress(ctx, int64(removed+kept), int64(removed+kept), message)
	offstage.Logger(ctx).InfoContext(ctx, "old files are cleaned up", "removed", removed, "kept", kept)
	return nil
}

// clean removes the files that were last written before the limit and belong to
// no job, or to one that ended before it.
func (s *service) clean(ctx context.Context, before time.Time) (removed, kept int, err error) {
	// The files first: a job that is enqueued after this look has a newer file.
	files, err := s.oldFiles(before)
	if err != nil || len(files) == 0 {
		return 0, 0, err
	}
	wanted, err := s.wantedFiles(ctx, before)
	if err != nil {
		return 0, 0, err
	}
	for _, path := range files {
		if wanted[path] {
			kept++
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, kept, err
		}
		removed++
	}
	return removed, kept, nil
}

// oldFiles lists the uploads that nobody has written to since.
func (s *service) oldFiles(before time.Time) ([]string, error) {
	var old []string
	entries, err := os.ReadDir(s.files.uploads())
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !ours(info) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.ModTime().Before(before) {
			old = append(old, filepath.Join(s.files.uploads(), entry.Name()))
		}
	}
	return old, nil
}

// ours reports whether a file is one that the demo makes.
func ours(file fs.FileInfo) bool {
	return file.Mode().IsRegular() && strings.HasSuffix(file.Name(), ".csv")
}

// wantedFiles lists the files of reports that have not ended before the limit.
func (s *service) wantedFiles(ctx context.Context, before time.Time) (map[string]bool, error) {
	wanted := map[string]bool{}
	filter := offstage.Filter{Kind: BuildReport{}.Kind(), Limit: 1000}
	for {
		page, err := s.client.List(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, job := range page.Jobs {
			if job.State.Terminal() && job.FinishedAt.Before(before) {
				continue
			}
			var args BuildReport
			if json.Unmarshal(job.Args, &args) == nil {
				if path, err := s.files.upload(args.File); err == nil {
					wanted[path] = true
				}
			}
		}
		if filter.After = page.Next; filter.After == "" {
			return wanted, nil
		}
	}
}
