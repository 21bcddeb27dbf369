package storetest

import (
	"testing"

	"github.com/offstagehq/offstage"
)

// Bench measures a store's usual calls, each on a new store: inserting one job
// and a thousand, claiming and finishing a hundred, and listing a page of ten
// thousand. The harness's clock is left alone.
func Bench(b *testing.B, h Harness) {
	b.Run("insert/1", func(b *testing.B) { benchInsert(b, h.Open(b), 1) })
	b.Run("insert/1000", func(b *testing.B) { benchInsert(b, h.Open(b), 1000) })
	b.Run("claim and finish/100", func(b *testing.B) { benchCycle(b, h.Open(b), 100) })
	b.Run("list/50", func(b *testing.B) { benchList(b, h.Open(b)) })
}

func benchInsert(b *testing.B, store offstage.Store, size int) {
	jobs := echoes(size)
	for b.Loop() {
		if _, err := store.Insert(b.Context(), jobs); err != nil {
			b.Fatal(err)
		}
	}
	reportRate(b, size)
}

// benchCycle keeps enough jobs ready that their inserts stay out of the figure.
func benchCycle(b *testing.B, store offstage.Store, size int) {
	worker, err := store.Register(b.Context(), offstage.WorkerInfo{Name: "bench", Queues: []string{offstage.DefaultQueue}})
	if err != nil {
		b.Fatal(err)
	}
	ready, seq := 0, int64(0)
	req := offstage.ClaimRequest{Worker: worker, Pools: []offstage.PoolRequest{pool(size, offstage.DefaultQueue)}}
	for b.Loop() {
		if ready < size {
			b.StopTimer()
			if _, err := store.Insert(b.Context(), echoes(10*size)); err != nil {
				b.Fatal(err)
			}
			ready += 10 * size
			b.StartTimer()
		}
		seq++
		req.Seq = seq
		claim, err := store.Claim(b.Context(), req)
		if err != nil || len(claim.Jobs) != size {
			b.Fatalf("claimed %d jobs, %v; want %d", len(claim.Jobs), err, size)
		}
		ready -= size
		results := make([]offstage.Result, size)
		for i, job := range claim.Jobs {
			results[i] = taken{job, seq}.completed()
		}
		if _, err := store.Finish(b.Context(), offstage.FinishRequest{Worker: worker, Results: results, Release: []int64{seq}}); err != nil {
			b.Fatal(err)
		}
	}
	reportRate(b, size)
}

func benchList(b *testing.B, store offstage.Store) {
	for range 10 {
		if _, err := store.Insert(b.Context(), echoes(1000)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		page, err := store.List(b.Context(), offstage.Filter{State: offstage.Ready})
		if err != nil || len(page.Jobs) != 50 {
			b.Fatalf("listed %d jobs, %v; want 50", len(page.Jobs), err)
		}
	}
}

// reportRate adds the jobs per second to a benchmark's figures.
func reportRate(b *testing.B, size int) {
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}
