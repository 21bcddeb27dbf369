// Command mutants puts deliberate faults into the code, one at a time, and makes
// sure that a named test catches each of them: a test that no fault can fail
// protects nothing. The working tree stays as it is; the compiler reads the
// changed files from an overlay.
//
// Usage: go run ./internal/mutants [-only TEXT] [-v] [-list]
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
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	only := flag.String("only", "", "put in only the faults whose names or packages have this text")
	verbose := flag.Bool("v", false, "show what the tests print")
	list := flag.Bool("list", false, "print the table of docs/faults.md, and do nothing")
	flag.Parse()
	if *list {
		fmt.Print(table())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := huntAll(ctx, *only, *verbose)
	stop()
	os.Exit(code)
}

// atOnce is how many faults are hunted at a time: while one is compiled, the
// other's test waits for its server.
const atOnce = 2

// huntAll prints what became of each fault and returns the exit code.
func huntAll(ctx context.Context, only string, verbose bool) int {
	tests := newBaseline(verbose)
	var all sync.WaitGroup
	var hunted, caught atomic.Int64
	turns := make(chan struct{}, atOnce)
	for _, m := range mutants {
		if !strings.Contains(m.name, only) && !strings.Contains(m.pkg, only) {
			continue
		}
		turns <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		hunted.Add(1)
		all.Go(func() {
			defer func() { <-turns }()
			began, verdict := time.Now(), "caught"
			if err := m.hunt(ctx, tests); err != nil {
				verdict = err.Error()
			} else {
				caught.Add(1)
			}
			fmt.Printf("%s, %s %s (%.0f s): %s\n", m.name, m.pkg, m.test, time.Since(began).Seconds(), verdict)
		})
	}
	all.Wait()
	n := hunted.Load() - caught.Load()
	fmt.Printf("%d faults, %d not caught\n", hunted.Load(), n)
	if n > 0 || hunted.Load() == 0 || ctx.Err() != nil {
		return 1
	}
	return 0
}
