package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/offstagehq/offstage"
)

var inspectCases = []Case{
	{"inspect/get nothing", "Get of a job that does not exist is ErrNotFound.", getNothing},
	{"inspect/ended of", "EndedOf returns those of the jobs that have ended, with error and result, or do not exist, and no others.", endedOf},
	{"inspect/setting", "Setting keeps the first value under a name; of many that race, all get the same bytes.", settingRace},
}

func getNothing(r *rig) {
	for _, id := range []offstage.ID{0, 1 << 40} {
		if _, err := r.store.Get(r.Context(), id); !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("job %d: got %v, want ErrNotFound", id, err)
		}
	}
}

func endedOf(r *rig) {
	var ids []offstage.ID
	want := map[offstage.ID]offstage.Ended{}
	for _, state := range offstage.States() {
		id, _, _ := r.bring(echoIn(state.String(), 5), state)
		ids = append(ids, id)
		if state.Terminal() {
			want[id] = offstage.Ended{ID: id, State: state, Error: r.get(id).Error}
		}
	}
	id := r.insertOne(echoIn("last", 5))
	w := r.worker()
	w.counted(w.takeFrom(1, "last")[0].completedWith(`{"n":1}`))
	want[id] = offstage.Ended{ID: id, State: offstage.Completed, Result: json.RawMessage(`{"n":1}`)}
	want[1<<40] = offstage.Ended{ID: 1 << 40}
	ended, err := r.store.EndedOf(r.Context(), append(ids, id, 1<<40))
	r.must(err, "ended of")
	got := map[offstage.ID]offstage.Ended{}
	for _, e := range ended {
		if len(e.Result) == 0 {
			e.Result = nil
		}
		got[e.ID] = e
	}
	same(r, "ended", got, want)
	same(r, "answers", len(ended), len(want))
	ended, err = r.store.EndedOf(r.Context(), nil)
	r.must(err, "ended of none")
	same(r, "of none", len(ended), 0)
}

func settingRace(r *rig) {
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	got := map[string]int{}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			value, err := stores[g%2].Setting(r.Context(), "key", fmt.Appendf(nil, "%d\x00\xff", g))
			if err != nil {
				r.Errorf("setting: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[string(value)]++
		})
	}
	group.Wait()
	same(r, "different values", len(got), 1)
	again, err := r.store.Setting(r.Context(), "key", []byte("late"))
	r.must(err, "setting")
	same(r, "answers with the value that is kept", got[string(again)], 8)
	other, err := r.store.Setting(r.Context(), "other", []byte("mine"))
	r.must(err, "setting")
	same(r, "another setting", string(other), "mine")
}
