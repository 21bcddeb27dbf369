package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
)

// RefreshSearch is a job that brings the search's index up to date.
type RefreshSearch struct{}

// Kind returns "refresh_search".
func (RefreshSearch) Kind() string { return "refresh_search" }

// refreshBatch is how many reports are indexed in one transaction: long enough to
// be fast, short enough that nobody waits for it.
const refreshBatch = 100

// refreshSearch indexes the reports that are new since the last time, and takes out
// those whose jobs are gone. Wherever it is interrupted, it goes on from there.
func (s *service) refreshSearch(ctx context.Context, _ *offstage.Job[RefreshSearch]) error {
	added := 0
	for {
		n, err := s.tables.refreshSome(ctx, refreshBatch)
		if err != nil {
			return err
		}
		if added += n; n == 0 {
			break
		}
		offstage.Progress(ctx, int64(added), 0, fmt.Sprintf("%d added", added))
	}
	removed, err := s.forgetOld(ctx)
	if err != nil {
		return err
	}
	offstage.Progress(ctx, int64(added+removed), int64(added+removed), fmt.Sprintf("%d added, %d removed", added, removed))
	return nil
}

// forgetOld takes reports whose jobs are gone out of the index. Jobs go in the order
// in which they came, so it ends at the first that is there; one that a person
// deleted is forgotten then.
func (s *service) forgetOld(ctx context.Context) (removed int, err error) {
	for {
		oldest, err := s.tables.oldestReports(ctx, refreshBatch)
		if err != nil || len(oldest) == 0 {
			return removed, err
		}
		for _, job := range oldest {
			_, err := s.client.Get(ctx, offstage.ID(job))
			if !errors.Is(err, offstage.ErrNotFound) {
				return removed, err
			}
			if err := s.tables.forgetReport(ctx, offstage.ID(job)); err != nil {
				return removed, err
			}
			removed++
		}
	}
}

// searchPage shows what a search has found.
type searchPage struct {
	frame
	Query    string
	Found    []foundLine
	All      int // reports there are to be found
	Fresh    int // of them, not in the index yet
	Schedule scheduleLine
}

// HeadBytes is how much of an upload's text is searched.
func (searchPage) HeadBytes() int64 { return csvreport.MaxHead }

// Several reports whether the query has more than one word.
func (p searchPage) Several() bool { return len(strings.Fields(p.Query)) > 1 }

type foundLine struct {
	found
	Status string
}

const (
	// maxFound is how many reports a search shows.
	maxFound = 20
	// maxQuery is the longest query, in bytes.
	maxQuery = 200
)

// search is GET /search?q=…
func (s *service) search(w http.ResponseWriter, r *http.Request) {
	page := searchPage{frame: frame{Title: "Search", Nav: "overview", Every: liveSlow, Form: true}, Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if len(page.Query) > maxQuery {
		s.fail(w, r, refuse(http.StatusUnprocessableEntity, "q: at most %d bytes are searched for", maxQuery))
		return
	}
	if err := s.fillSearch(r, &page); err != nil {
		s.fail(w, r, err)
		return
	}
	if page.Fresh > 0 || page.Schedule.Busy() {
		page.Every = liveFast
	}
	s.render(w, http.StatusOK, "search", page)
}

func (s *service) fillSearch(r *http.Request, page *searchPage) (err error) {
	if page.All, page.Fresh, err = s.tables.countReports(r.Context()); err != nil {
		return err
	}
	if page.Schedule, err = s.scheduleLine(r.Context(), searchSchedule); err != nil {
		return err
	}
	all, err := s.tables.find(r.Context(), page.Query, maxFound)
	for _, hit := range all {
		page.Found = append(page.Found, foundLine{hit, s.flows.Link(r, hit.Job)})
	}
	return err
}
