package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// mutant is one deliberate fault and the test that has to catch it.
type mutant struct {
	name string // what is wrong with it in place
	file string // where, from the module's root
	old  string // the text that stands there, exactly once
	new  string // the text of the fault
	also *swap  // another place of the same fault in the file; nil: there is none
	pkg  string // the package of the test
	test string // its name, with the parts of go test -run
}

// swap is a text that stands in a file exactly once, and what takes its place.
type swap struct{ old, new string }

// Why a fault was not caught.
var (
	errSurvived = errors.New("SURVIVED")
	errBuild    = errors.New("DOES NOT COMPILE")
	errNoTest   = errors.New("THERE IS NO SUCH TEST")
	errSkipped  = errors.New("ITS TEST WAS SKIPPED")
	errBaseline = errors.New("ITS TEST FAILS WITHOUT THE FAULT")
)

// hunt runs the mutant's test with the fault in place; nil means that it failed,
// as it must.
func (m mutant) hunt(ctx context.Context, tests *baseline) error {
	if err := tests.check(ctx, m); err != nil {
		return err
	}
	text, err := m.faulty()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it holds two small files
	overlay, err := writeOverlay(dir, m.file, text)
	if err != nil {
		return err
	}
	out, failed, err := m.run(ctx, "-overlay="+overlay)
	tests.show(out)
	switch {
	case err != nil:
		return err
	case bytes.Contains(out, []byte("[build failed]")):
		return fmt.Errorf("%w:\n%s", errBuild, out)
	case !failed:
		return errSurvived
	}
	return nil
}

// faulty returns the file's text with the fault.
func (m mutant) faulty() (string, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	text := string(source)
	swaps := []swap{{m.old, m.new}}
	if m.also != nil {
		swaps = append(swaps, *m.also)
	}
	for _, place := range swaps {
		if n := strings.Count(text, place.old); n != 1 {
			return "", fmt.Errorf("%s HAS ITS PLACE %d TIMES: %q", m.file, n, place.old)
		}
		text = strings.Replace(text, place.old, place.new, 1)
	}
	return text, nil
}

// patience is how long a test may take: one that hangs has caught its fault.
const patience = 30 * time.Second

// run runs the mutant's test and reports whether it failed.
func (m mutant) run(ctx context.Context, flags ...string) (out []byte, failed bool, err error) {
	parts := strings.Split(m.test, "/")
	for i, part := range parts {
		parts[i] = "^" + part + "$"
	}
	args := append([]string{"test", "-v", "-vet=off", "-ldflags=-w", "-timeout=" + patience.String(), "-run", strings.Join(parts, "/")}, flags...)
	out, err = exec.CommandContext(ctx, "go", append(args, m.pkg)...).CombinedOutput()
	if ctx.Err() != nil {
		return out, false, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, true, nil
	}
	return out, false, err
}

// baseline knows which tests pass without any fault.
type baseline struct {
	verbose bool

	mu    sync.Mutex              // guards known
	known map[string]func() error // by package and test
}

func newBaseline(verbose bool) *baseline {
	return &baseline{verbose: verbose, known: map[string]func() error{}}
}

// check makes sure that the mutant's test is there, runs and passes.
func (b *baseline) check(ctx context.Context, m mutant) error {
	name := m.pkg + " " + m.test
	b.mu.Lock()
	look := b.known[name]
	if look == nil {
		look = sync.OnceValue(func() error {
			out, failed, err := m.run(ctx)
			if err == nil {
				err = judge(out, failed, m.test)
			}
			if err != nil {
				b.show(out)
			}
			return err
		})
		b.known[name] = look
	}
	b.mu.Unlock()
	return look()
}

// judge says what is wrong with a run of a test without any fault.
func judge(out []byte, failed bool, test string) error {
	passed, err := regexp.Match(`--- PASS: `+test+` \(`, out)
	if err != nil {
		return err
	}
	switch {
	case failed:
		return errBaseline
	case bytes.Contains(out, []byte("--- SKIP: ")):
		return errSkipped
	case !passed:
		return errNoTest
	}
	return nil
}

func (b *baseline) show(out []byte) {
	if b.verbose {
		_, _ = os.Stdout.Write(out)
	}
}

// writeOverlay tells the compiler to read a text in the place of a file.
func writeOverlay(dir, file, text string) (string, error) {
	original, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
