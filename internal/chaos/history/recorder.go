package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Clock returns the time by the machine's monotonic clock and since 1970, both
// in nanoseconds.
type Clock func() (mono, wall int64)

// Recorder appends one process's events to its file. It is safe for concurrent
// use.
type Recorder struct {
	file    *os.File
	process string
	clock   Clock
	fail    func(error)
}

const suffix = ".jsonl"

// Create makes the file of a process in a directory. A process whose events are
// not written proves nothing, so each write that fails is told to fail, which
// should end the process.
func Create(dir, process string, clock Clock, fail func(error)) (*Recorder, error) {
	file, err := os.OpenFile(filepath.Join(dir, process+suffix), os.O_APPEND|os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Recorder{file, process, clock, fail}, nil
}

// Write fills in the event's process and times, and appends it.
func (r *Recorder) Write(e Event) {
	e.Process = r.process
	e.Mono, e.Wall = r.clock()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		r.fail(fmt.Errorf("record an event: %w", err))
	}
}

// Close closes the file.
func (r *Recorder) Close() error { return r.file.Close() }

// Read returns all events of a directory's files in the order of the monotonic
// clock. A last line that was cut off by its process's death is left out.
func Read(dir string) ([]Event, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	var events []Event
	for _, name := range names {
		if events, err = readFile(events, name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		return int(min(max(a.Mono-b.Mono, -1), 1))
	})
	return events, nil
}

func readFile(events []Event, name string) ([]Event, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		var e Event
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
}

// Unanswered counts the enqueues of a process that were sent and not answered.
func Unanswered(dir, process string) (int, error) {
	events, err := readFile(nil, filepath.Join(dir, process+suffix))
	if err != nil {
		return 0, err
	}
	open := map[string]bool{}
	for _, e := range events {
		switch e.What {
		case Send:
			open[e.Key] = true
		case Ack, Unknown, Failed, Refused, RolledBack:
			delete(open, e.Key)
		}
	}
	return len(open), nil
}
