package builtin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
)

// CommandKind is the kind of jobs that start a program.
const CommandKind = "command"

// commandArgs name a command of the file.
type commandArgs struct {
	Name string `json:"name"`
}

// Kind names the kind.
func (commandArgs) Kind() string { return CommandKind }

// CommandResult is what a command left behind.
type CommandResult struct {
	Output string `json:"output"` // the end of what it wrote
	Bytes  int64  `json:"bytes"`  // of all that it wrote
}

const (
	keepOutput = 16 << 10        // bytes of a command's output that are kept: its end
	errorTail  = 2 << 10         // bytes of it in an error
	killAfter  = 5 * time.Second // after SIGTERM, when the time is up
)

// runCommand runs one command. When its context ends, the whole process group is
// told to end, and killed some seconds later.
func (c *Config) runCommand(ctx context.Context, job *offstage.Job[commandArgs]) (CommandResult, error) {
	command := c.Commands[job.Args.Name]
	if command == nil {
		return CommandResult{}, offstage.Fail(fmt.Errorf("the command %q is not allowed by this worker's file", job.Args.Name))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(command.Timeout), fmt.Errorf("the command's time limit of %s has passed", time.Duration(command.Timeout)))
	defer cancel()
	run := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	run.Dir = command.Dir
	run.Env = environment(command.Env, job)
	out := &tail{}
	run.Stdout, run.Stderr = out, out
	inGroup(run)
	run.WaitDelay = killAfter
	err := run.Run()
	killGroup(run)
	result := CommandResult{Output: out.text(keepOutput), Bytes: out.total}
	if err == nil {
		return result, nil
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	if last := out.text(errorTail); last != "" {
		err = fmt.Errorf("%w; the end of its output:\n%s", err, last)
	}
	return result, err
}

// environment is what a command sees: where programs are, what the file says, and
// which job it is. The worker's own secrets are not in it.
func environment(own map[string]string, job *offstage.Job[commandArgs]) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "OFFSTAGE_JOB=" + job.ID.String(), fmt.Sprintf("OFFSTAGE_ATTEMPT=%d", job.Run)}
	if job.Tick != nil {
		env = append(env, "OFFSTAGE_SCHEDULE="+job.Tick.Schedule, "OFFSTAGE_TICK="+job.Tick.At.Format(time.RFC3339))
	}
	for name, value := range own {
		env = append(env, name+"="+value)
	}
	return env
}

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	kept  []byte // guarded by mu
	total int64  // guarded by mu, until the command has ended
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += int64(len(p))
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - 2*keepOutput; extra > 0 {
		t.kept = append(t.kept[:0:0], t.kept[extra:]...)
	}
	return len(p), nil
}

// text returns the last bytes as valid text.
func (t *tail) text(most int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := bytes.TrimSpace(t.kept)
	kept = kept[max(0, len(kept)-most):]
	for len(kept) > 0 && !utf8.RuneStart(kept[0]) {
		kept = kept[1:]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(kept), "\uFFFD"), "\x00", "\uFFFD")
}
