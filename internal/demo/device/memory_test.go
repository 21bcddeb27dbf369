package device

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// apply applies the command n of a device and fails the test if that is not as new as expected.
func apply(t *testing.T, f *Fleet, device string, n int, already bool) Result {
	t.Helper()
	r, err := f.memory.apply(deviceKey{device, fmt.Sprint("k", n)}, "step", noon.Add(time.Duration(n)*time.Second))
	if err != nil || r.AlreadyApplied != already {
		t.Fatalf("command %d of %s: %+v, %v; want already applied: %v", n, device, r, err, already)
	}
	return r
}

func state(t *testing.T, f *Fleet, device string) State {
	t.Helper()
	s, err := f.memory.state(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// writeLog makes a log with commands 1 to n of device d and an outage after each tenth.
func writeLog(t *testing.T, dir string, n int) string {
	t.Helper()
	var text strings.Builder
	for i := 1; i <= n; i++ {
		r := record{Device: "d", Key: fmt.Sprint("k", i), Text: "step", Number: int64(i), At: noon}
		line, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(line)
		if i%10 == 0 {
			line, err := json.Marshal(record{Device: fmt.Sprint("other", i), At: noon})
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(line, '\n'))
		}
	}
	path := filepath.Join(dir, "fleet.log")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDevicesOutliveTheirFleet(t *testing.T) {
	dir := t.TempDir()
	f := newFleet(t, Options{Dir: dir})
	first := apply(t, f, "d", 1, false)
	apply(t, f, "e", 1, false)
	end := time.Now().Add(time.Hour)
	if err := f.memory.setDown("d", end, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	f = newFleet(t, Options{Dir: dir})
	again := apply(t, f, "d", 1, true)
	if !again.AppliedAt.Equal(first.AppliedAt) || again.Number != 1 {
		t.Errorf("the answer was %+v and is %+v", first, again)
	}
	apply(t, f, "d", 2, false)
	s := state(t, f, "d")
	if s.Applied != 2 || s.DownUntil == nil || !s.DownUntil.Equal(end.Add(time.Minute)) {
		t.Errorf("state after the restart: %+v", s)
	}
}

// A record that was being written when its process died was never answered and does not count.
func TestATornRecordIsCutOff(t *testing.T) {
	dir := t.TempDir()
	path := writeLog(t, dir, 2)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lastRecord := strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n') + 1
	for size := lastRecord; size < len(whole); size++ {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		f := newFleet(t, Options{Dir: dir})
		apply(t, f, "d", 1, true)
		apply(t, f, "d", 2, false)
		reread := newFleet(t, Options{Dir: dir})
		apply(t, reread, "d", 2, true)
	}
}

func TestADamagedLogIsNamed(t *testing.T) {
	dir := t.TempDir()
	path := writeLog(t, dir, 2)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[0] = '?'
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "fleet.log: record 1") {
		t.Errorf("got %v, want an error that names the file and the record", err)
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	for name, dir := range map[string]string{"in a folder": t.TempDir(), "in the process": ""} {
		f := newFleet(t, Options{Dir: dir, Remember: 10})
		for n := range 25 {
			apply(t, f, "d", n, false)
			apply(t, f, fmt.Sprint("device", n), n, false)
		}
		m := f.memory
		if len(m.byKey) != 10 || len(m.order) != 10 || len(m.devices) != 6 || len(state(t, f, "d").Log) != 5 {
			t.Errorf("%s: %d keys, %d in order, %d devices; want 10, 10, 6", name, len(m.byKey), len(m.order), len(m.devices))
		}
		apply(t, f, "d", 24, true)
		if r := apply(t, f, "d", 1, false); r.Number != 26 {
			t.Errorf("%s: the next number is %d, want 26", name, r.Number)
		}
	}
}

// A long log is written anew when a fleet opens it; a fleet that has the old one open goes on with the new one.
func TestALongLogIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	path := writeLog(t, dir, 950) // 1,045 records, more than 2×20 + 1,000
	long, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, long[:len(long)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	early := newFleet(t, Options{Dir: dir, Remember: 20})
	if err := os.WriteFile(path, long, 0o600); err != nil { // as if appended by another
		t.Fatal(err)
	}

	late := newFleet(t, Options{Dir: dir, Remember: 20})
	short, err := os.Stat(path)
	if err != nil || short.Size() > int64(len(long))/40 {
		t.Errorf("the log has %d bytes, %v; it had %d", short.Size(), err, len(long))
	}
	for _, f := range []*Fleet{early, late} {
		if s := state(t, f, "d"); s.Applied != 950 || len(s.Log) != 20 || s.Log[19].Number != 931 {
			t.Errorf("state: %d applied, %d in the log", s.Applied, len(s.Log))
		}
		apply(t, f, "d", 950, true)
	}
	apply(t, early, "d", 951, false)
	apply(t, late, "d", 951, true)
	apply(t, late, "d", 952, false)
	apply(t, early, "d", 952, true)
}

// Two fleets that race through the same commands apply each once.
func TestTwoFleetsShareOneLog(t *testing.T) {
	dir := t.TempDir()
	const commands = 300
	var group sync.WaitGroup
	var applied atomic.Int64
	for range 2 {
		f := newFleet(t, Options{Dir: dir})
		group.Go(func() {
			for n := range commands {
				r, err := f.memory.apply(deviceKey{"d", fmt.Sprint("k", n)}, "step", noon)
				if err != nil {
					t.Error(err)
					return
				}
				if !r.AlreadyApplied {
					applied.Add(1)
				}
			}
		})
	}
	group.Wait()
	s := state(t, newFleet(t, Options{Dir: dir}), "d")
	if applied.Load() != commands || s.Applied != commands || len(s.Log) != commands {
		t.Errorf("%d answers say applied now, the log has %d, the last number is %d; want %d",
			applied.Load(), len(s.Log), s.Applied, commands)
	}
}

// After a failed write nobody can tell what the log holds: the fleet refuses all, and one that opens the log anew looks.
func TestAFailedWriteStopsTheFleet(t *testing.T) {
	dir := t.TempDir()
	f := newFleet(t, Options{Dir: dir})
	apply(t, f, "d", 1, false)
	reading, err := os.Open(filepath.Join(dir, "fleet.log"))
	if err != nil {
		t.Fatal(err)
	}
	writing := f.memory.log
	f.memory.log = reading // cannot be written
	for range 2 {
		if _, err := f.memory.apply(deviceKey{"d", "k2"}, "step", noon); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("got %v, want the failed write", err)
		}
	}
	if err := writing.Close(); err != nil {
		t.Error(err)
	}
	f = newFleet(t, Options{Dir: dir})
	apply(t, f, "d", 1, true)
	apply(t, f, "d", 2, false)
}

func TestClosed(t *testing.T) {
	f := newFleet(t, Options{Dir: t.TempDir()})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.memory.apply(deviceKey{"d", "k"}, "step", noon); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// FuzzLog opens any file as a log: it is refused or read, and what is applied then is there after the next opening.
func FuzzLog(f *testing.F) {
	f.Add([]byte(`{"device":"d","key":"k","command":"c","number":1,"at":"2024-05-01T12:00:00Z"}` + "\n{\"devi"))
	f.Add([]byte("\n"))
	f.Add([]byte("null\n{}\n[]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "fleet.log"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		fleet, err := New(Options{Dir: dir})
		if err != nil {
			return
		}
		first, err := fleet.memory.apply(deviceKey{"fuzz", "key"}, "step", noon)
		if err != nil {
			_ = fleet.Close()
			return
		}
		if err := fleet.Close(); err != nil {
			t.Fatal(err)
		}
		again := newFleet(t, Options{Dir: dir})
		second, err := again.memory.apply(deviceKey{"fuzz", "key"}, "step", noon)
		if err != nil || !second.AlreadyApplied || second.Number != first.Number {
			t.Errorf("first %+v, then %+v, %v", first, second, err)
		}
	})
}
