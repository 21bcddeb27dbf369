package offstage

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"time"
)

// UniqueMode says what an enqueue does that meets a job with the same unique
// key. The numbers are stored by the SQL stores and never change.
type UniqueMode uint8

// The modes. A key is held by a job from its enqueue until it ends (and until
// the rule's period is over); the job that holds it is the holder.
const (
	// Skip enqueues nothing and returns the holder.
	Skip UniqueMode = 1
	// Replace gives the holder the new arguments, options and time, if no worker
	// has claimed it yet; otherwise it enqueues a new job, which takes the key.
	Replace UniqueMode = 2
	// Debounce is Replace that also puts the holder off until Wait after this
	// enqueue, yet never later than MaxWait after the first: of a burst of
	// enqueues one job runs, with the last arguments.
	Debounce UniqueMode = 3
	// KeepLast allows one holder and one follower, which is blocked until the
	// holder ends: with a follower there already, it gives that one the new
	// arguments. Whatever comes while a job runs is done once, afterwards, with
	// the last arguments.
	KeepLast UniqueMode = 4
)

var uniqueNames = []string{"", "skip", "replace", "debounce", "keep_last"}

// String returns the mode's name as it stands in JSON and the CLI.
func (m UniqueMode) String() string { return nameOf(uniqueNames, uint8(m), "unique mode") }

// UniqueRule makes a job unique among the jobs of its kind. Pass it to
// [Unique]. The zero value is not valid: a Mode is needed.
type UniqueRule struct {
	Mode UniqueMode
	// Key is the application's own key. "" means the arguments, or those of
	// their top-level JSON fields that ByArgs names.
	Key    string
	ByArgs []string
	// Period holds the key at least this long after the enqueue, though the job
	// ends sooner: at most one job per period. 0: until the job ends.
	Period time.Duration
	// Wait and MaxWait belong to Debounce. MaxWait 0 means 10 × Wait.
	Wait    time.Duration
	MaxWait time.Duration
}

// Unique returns an option that makes the job unique by the rule.
func Unique(rule UniqueRule) Option {
	return func(job *NewJob) error {
		if err := rule.check(); err != nil {
			return err
		}
		key, err := rule.keyOf(job)
		if err != nil {
			return err
		}
		job.Unique = &UniqueKey{Key: key, Mode: rule.Mode, Period: rule.Period, Wait: rule.Wait, MaxWait: rule.MaxWait}
		if rule.Mode == Debounce {
			job.Delay = rule.Wait
			if rule.MaxWait == 0 {
				job.Unique.MaxWait = 10 * rule.Wait
			}
		}
		return nil
	}
}

func (rule UniqueRule) check() error {
	switch {
	case rule.Mode < Skip || rule.Mode > KeepLast:
		return invalid("unique mode", "%d is not one of Skip, Replace, Debounce, KeepLast", rule.Mode)
	case rule.Period < 0 || rule.Wait < 0 || rule.MaxWait < 0:
		return invalid("unique period", "durations cannot be negative")
	case rule.Key != "" && len(rule.ByArgs) > 0:
		return invalid("unique key", "give either Key or ByArgs, not both")
	case rule.Mode == Debounce && rule.Wait == 0:
		return invalid("unique wait", "Debounce needs a Wait, the time of quiet to wait for")
	case rule.Mode == Debounce && rule.MaxWait != 0 && rule.MaxWait < rule.Wait:
		return invalid("unique max wait", "%s is shorter than the Wait of %s", rule.MaxWait, rule.Wait)
	case rule.Mode != Debounce && (rule.Wait != 0 || rule.MaxWait != 0):
		return invalid("unique wait", "only Debounce waits")
	}
	return nil
}

// keyOf hashes the kind and what was chosen, each with its own mark, so that a
// key "x" and arguments `x` never meet.
func (rule UniqueRule) keyOf(job *NewJob) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(job.Kind)
	switch {
	case rule.Key != "":
		b.WriteString("\x00key\x00" + rule.Key)
	case len(rule.ByArgs) > 0:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(job.Args, &fields); err != nil {
			return nil, invalid("unique args", "ByArgs needs args that are a JSON object")
		}
		for _, name := range rule.ByArgs {
			value, ok := fields[name]
			if !ok {
				return nil, invalid("unique args", "the args have no field %q", name)
			}
			b.WriteString("\x00field\x00" + name + "\x00")
			if err := json.Compact(&b, value); err != nil {
				return nil, invalid("unique args", "field %q: %v", name, err)
			}
		}
	default:
		b.WriteString("\x00args\x00")
		if err := json.Compact(&b, job.Args); err != nil {
			return nil, invalid("unique args", "%v", err)
		}
	}
	sum := sha256.Sum256(b.Bytes())
	return sum[:16], nil
}
