package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// The environment of a child process: what it does, and with which file.
const (
	childRole = "OFFSTAGE_SQLITE_CHILD"
	childFile = "OFFSTAGE_SQLITE_FILE"
)

// child is this test binary as another process on the same file. It is told and
// tells one line at a time.
type child struct {
	testing.TB
	cmd  *exec.Cmd
	in   func(line string)
	out  *bufio.Scanner
	dead bool
}

// spawn starts a child that is killed at the end of the test at the latest.
func spawn(tb testing.TB, role, file string) *child {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childFile+"="+file)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &child{TB: tb, cmd: cmd, out: bufio.NewScanner(stdout)}
	c.in = func(line string) {
		tb.Helper()
		if _, err := fmt.Fprintln(stdin, line); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(c.kill)
	return c
}

// kill ends the child as by kill -9 and waits until it is gone.
func (c *child) kill() {
	if c.dead {
		return
	}
	c.dead = true
	if err := c.cmd.Process.Kill(); err != nil {
		c.Error(err)
	}
	_ = c.cmd.Wait() // "signal: killed"
}

// hear returns the child's next line.
func (c *child) hear() string {
	c.Helper()
	if !c.out.Scan() {
		c.Fatalf("the child said nothing more: %v", c.out.Err())
	}
	return c.out.Text()
}

// childMain is the main function of a child.
func childMain(role string) int {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, os.Getenv(childFile))
	if err == nil {
		err = map[string]func(context.Context, *sqlite.Store) error{
			"hold": childHolds, "insert": childInserts, "insert when told": childInsertsWhenTold,
		}[role](ctx, store)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

// childHolds registers a worker, claims what there is, leads, and waits.
func childHolds(ctx context.Context, store *sqlite.Store) error {
	worker, err := store.Register(ctx, offstage.WorkerInfo{Name: "child", Queues: []string{"default"}})
	if err != nil {
		return err
	}
	claim, err := store.Claim(ctx, offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 100}}})
	if err != nil {
		return err
	}
	if _, err := store.Lead(ctx, worker, leadTime); err != nil {
		return err
	}
	fmt.Println(worker, len(claim.Jobs))
	select {}
}

// childInserts inserts jobs for ever and tells the id of each that is acknowledged.
func childInserts(ctx context.Context, store *sqlite.Store) error {
	for {
		inserted, err := store.Insert(ctx, []offstage.NewJob{echo(), echo()})
		if err != nil {
			return err
		}
		fmt.Println(inserted[0].ID, inserted[1].ID)
	}
}

// childInsertsWhenTold inserts a job for each line that it reads.
func childInsertsWhenTold(ctx context.Context, store *sqlite.Store) error {
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		job := echo()
		job.Queue = strings.TrimSpace(lines.Text())
		if _, err := store.Insert(ctx, []offstage.NewJob{job}); err != nil {
			return err
		}
	}
	return nil
}
