// Command mutants puts deliberate faults into the code, one at a time, and makes
// sure that a named test catches each of them: a test that no fault can fail
// protects nothing. The working tree stays as it is; the compiler reads the
// changed files from an overlay.
//
// Usage: go run ./internal/mutants [-only TEXT] [-v]
//
// It prints one line a fault and exits 1 if any survived, if a fault's place is
// no longer found, or if its test fails without the fault.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	only := flag.String("only", "", "put in only the faults whose names or packages have this text")
	verbose := flag.Bool("v", false, "show what the tests print")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := huntAll(ctx, *only, *verbose)
	stop()
	os.Exit(code)
}

// huntAll prints what became of each fault and returns the exit code.
func huntAll(ctx context.Context, only string, verbose bool) int {
	tests := newBaseline(verbose)
	hunted, uncaught := 0, 0
	for _, m := range mutants {
		if !strings.Contains(m.name, only) && !strings.Contains(m.pkg, only) {
			continue
		}
		began := time.Now()
		verdict := "caught"
		if err := m.hunt(ctx, tests); err != nil {
			verdict = err.Error()
			uncaught++
		}
		hunted++
		fmt.Printf("%-64s %s %s (%.0f s): %s\n", m.name, m.pkg, m.test, time.Since(began).Seconds(), verdict)
		if ctx.Err() != nil {
			return 1
		}
	}
	fmt.Printf("%d faults, %d not caught\n", hunted, uncaught)
	if uncaught > 0 || hunted == 0 {
		return 1
	}
	return 0
}
