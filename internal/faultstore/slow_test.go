package faultstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
)

// What is still on its way to a store when that goes out of reach is not carried out.
func TestASlowCallIsLostWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := offstagetest.NewStore()
		store := faultstore.Wrap(under)
		store.Break(faultstore.Fault{Method: "Insert", Mode: faultstore.Slow, Delay: time.Second})
		answer := make(chan error, 1)
		go func() {
			_, err := store.Insert(t.Context(), []offstage.NewJob{{Kind: "k", Queue: "default", Args: []byte(`{}`)}})
			answer <- err
		}()
		synctest.Wait()
		store.Break(faultstore.Fault{Mode: faultstore.Before, Class: offstage.FaultDown})
		if err := <-answer; offstage.ClassOf(err) != offstage.FaultDown {
			t.Errorf("the call is answered %v, want a FaultDown", err)
		}
		page, err := under.List(t.Context(), offstage.Filter{})
		if err != nil || len(page.Jobs) != 0 {
			t.Errorf("%d jobs, %v; want none", len(page.Jobs), err)
		}
	})
}
