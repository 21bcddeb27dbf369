//go:build linux

package main

import (
	"fmt"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/offstagehq/offstage/internal/pgtest"
)

// BenchmarkUpload sends CSVs of 50 MB to a demo, one after the other, and tells how
// long it takes from the last byte that was sent to the first of the answer, and the
// most memory that the demo has had.
func BenchmarkUpload(b *testing.B) {
	program := build(b)
	b.Run("sqlite", func(b *testing.B) { benchUpload(b, program, filepath.Join(b.TempDir(), "jobs.db")) })
	b.Run("postgres", func(b *testing.B) { benchUpload(b, program, pgtest.Open(b).URL) })
}

// rowsOf50MB are of 77 bytes each.
const rowsOf50MB = 50_000_000 / 77

func benchUpload(b *testing.B, program, store string) {
	demo := startDemo(b, program, "--store", store, "--data", b.TempDir())
	var took []time.Duration
	for range b.N {
		var sent, answered time.Time
		ctx := httptrace.WithClientTrace(b.Context(), &httptrace.ClientTrace{
			WroteRequest:         func(httptrace.WroteRequestInfo) { sent = time.Now() },
			GotFirstResponseByte: func() { answered = time.Now() },
		})
		path := demo.upload(ctx, b, manyReadings(rowsOf50MB))
		took = append(took, answered.Sub(sent))
		demo.await(b, path, "the report is built", func(now seen) bool { return now.State == "completed" })
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(mostMemory(b, demo.process.Pid))/1024, "MB")
}

// mostMemory returns the most memory that a process has had, in kB: proc(5), VmHWM.
func mostMemory(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(text)
	if found == nil {
		b.Fatalf("the most memory is not in\n%s", text)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes
}
