package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/offstagehq/offstage/schedule"
)

// seeds are expressions of every form, and some that were hard.
var seeds = []string{
	"30 4 * * *", "*/15 8-17 * * MON-FRI", "0 0 0 29 2 1& 2027-9999/3", "55-5/5 22-4 L-3,15W,LW,25-L nov-feb sun#2,FRI#-1,5L",
	"H(0-29)/10 H ~ 3~9 H", "CRON_TZ=America/New_York 30 1-2 * * *", "*/7 */5 30 12 * Pacific/Apia", "@every 1h30m", "@daily Asia/Tokyo", "@reboot",
	"every 40m", "every 5 months starting 2026-12-31", "every 2 weeks on monday and friday at 9:00 starting 2026-01-05T09:00:00+02:00",
	"first monday of the month at 9:00", "every 15 minutes between 22:00 and 1:30", "every other day at 4:30 am in Europe/Berlin",
	"every 3 years on february 29", "every 1199 months on the 31st", "15 january at noon, 9:30 and 17:00:59", "every hour at :12 and :42",
	longest, "30 2 * 3 * America/New_York", "~,~,~,~ H/7 * * *",
}

// FuzzParse gives any text to Parse. It ends in an error that points into the
// text, or in an expression that keeps what the package promises.
func FuzzParse(f *testing.F) {
	for i, seed := range seeds {
		f.Add(seed, strings.Repeat("n", i%2), int64(i)*100_000_000, int64(1790_000_000+i*7919))
	}
	f.Add("everY 0Y0.1Y", "", int64(0), int64(0))       // an error in the middle of a word
	f.Add("0 0 /-L 0 0", "", int64(0), int64(0))        // the last day as a step
	f.Add("0 0 1--L 0 0", "0", int64(0), int64(0))      // and after two dashes
	f.Add("0 0 a-L 0 0", "", int64(0), int64(0))        // an error in what was made of a word
	f.Add("0 0 \xd2\xd2-L 0 0", "", int64(0), int64(0)) // letters that change their length with their case
	f.Fuzz(func(t *testing.T, text, name string, anchor, at int64) {
		options := []schedule.Option{schedule.Name(name), schedule.Anchor(time.Unix(anchor, 0))}
		e, err := schedule.Parse(text, options...)
		if err != nil {
			checkError(t, text, err)
			return
		}
		checkCanonical(t, e, options)
		checkTicks(t, e, time.Unix(at, at&0x1fffffff))
		checkCrontab(t, e, time.Unix(at, 0))
	})
}

// checkCrontab parses what is written for a crontab: it has the same ticks.
func checkCrontab(t *testing.T, e *schedule.Expression, at time.Time) {
	fields, ok := e.Crontab()
	if !ok || e.Reboot() {
		return
	}
	again, err := schedule.Parse(fields, schedule.In(e.Zone()))
	if err != nil {
		t.Fatalf("%s is written as %q: %v", e, fields, err)
	}
	for range 5 {
		next, hasNext := e.Next(at)
		other, hasOther := again.Next(at)
		if hasNext != hasOther || !next.Equal(other) {
			t.Fatalf("%s at %s: next %s, but of %q %s", e, at, next, fields, other)
		}
		at = next
	}
}

func checkError(t *testing.T, text string, err error) {
	var p *schedule.ParseError
	if !errors.As(err, &p) {
		t.Fatalf("%q: the error is a %T", text, err)
	}
	if p.Text != text || p.Problem == "" || p.Offset < 0 || p.Offset+len(p.Word) > len(text) || text[p.Offset:p.Offset+len(p.Word)] != p.Word {
		t.Fatalf("%q: the error does not point into it: %#v", text, p)
	}
	if message := p.Error(); strings.ContainsAny(message, "\n\r") || !utf8.ValidString(message) || len(message) > 2000 {
		t.Fatalf("%q: the message is not one line of text: %q", text, message)
	}
}

// checkCanonical parses the canonical form again.
func checkCanonical(t *testing.T, e *schedule.Expression, options []schedule.Option) {
	again, err := schedule.Parse(e.String(), options...)
	if err != nil {
		t.Fatalf("the canonical form is not understood: %v", err)
	}
	if again.String() != e.String() || again.Explain() != e.Explain() || again.Zone() != e.Zone() || e.Explain() == "" {
		t.Fatalf("%q became %q, %q became %q", e, again, e.Explain(), again.Explain())
	}
}

// checkTicks looks at the ticks around a time. Next and Prev are inverse, and
// they take few steps.
func checkTicks(t *testing.T, e *schedule.Expression, at time.Time) {
	next, hasNext := e.Next(at)
	prev, hasPrev := e.Prev(at)
	if hasNext && (!next.After(at) || next.Nanosecond() != 0) || hasPrev && !prev.Before(at) {
		t.Fatalf("%s at %s: next %s, previous %s", e, at, next, prev)
	}
	if hasNext {
		if back, ok := e.Prev(next); ok && (back.After(at) || hasPrev && back.Before(prev)) || !ok && hasPrev {
			t.Fatalf("%s at %s: before the next tick %s comes %s, %t", e, at, next, back, ok)
		} else if ok {
			if again, ok := e.Next(back); !ok || !again.Equal(next) {
				t.Fatalf("%s at %s: after %s comes %s, not %s", e, at, back, again, next)
			}
		}
	}
	if hasPrev {
		if forth, ok := e.Next(prev); ok && (forth.Before(at) || hasNext && forth.After(next)) || !ok && hasNext {
			t.Fatalf("%s at %s: after the previous tick %s comes %s, %t", e, at, prev, forth, ok)
		}
	}
	if steps := e.Steps(at); steps > schedule.MaxSteps/2 {
		t.Fatalf("%s at %s: a search took %d steps", e, at, steps)
	}
}

// TestInverseEverywhere checks the seeds at times of many kinds.
func TestInverseEverywhere(t *testing.T) {
	for _, text := range seeds {
		e, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for second := int64(-60_000_000_000); second < 250_000_000_000; second += 1_000_003_001 {
			checkTicks(t, e, time.Unix(second, second%2))
		}
	}
}
