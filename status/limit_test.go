package status_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/status"
)

// A store that does not answer holds up nobody for longer than he would wait: not
// one who comes later, and not one whose queue is another.
func TestALimitIsNotWaitedForInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		faulty := faultstore.Wrap(store)
		r := newRig(t, faulty, status.Config{Limits: map[string]status.Limit{offstage.DefaultQueue: {Depth: 3}}})
		faulty.Break(faultstore.Fault{Method: "Line", Mode: faultstore.Slow, Delay: time.Hour})
		var requests sync.WaitGroup
		for n := 1; n <= 3; n++ {
			requests.Go(func() {
				patience := time.Duration(10-n) * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				began := time.Now()
				answer := httptest.NewRecorder()
				r.site.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodPost, "/builds", strings.NewReader("do=a")))
				if took := time.Since(began); took != patience || answer.Code < 500 {
					t.Errorf("one who would wait %v was answered %d after %v", patience, answer.Code, took)
				}
			})
		}
		requests.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}
