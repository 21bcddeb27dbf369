package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/adhocore/gronx"
	"github.com/netresearch/go-cron"

	"github.com/offstagehq/offstage/schedule"
)

// TestTwoPublicParsersAgree draws cron expressions from what we and two other
// libraries understand alike, and compares the next ticks in UTC. Where one of
// them is known to read a form in another way, that form goes to the other alone.
func TestTwoPublicParsersAgree(t *testing.T) {
	const expressions, ticks = 3000, 5
	random := rand.New(rand.NewPCG(5, 1))
	parser := cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Extended | cron.DowOrDom)
	asked := map[string]int{}
	for range expressions {
		text := randomCron(random)
		from := time.Date(2024+random.IntN(8), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), random.IntN(60), 0, 0, time.UTC)
		ours, err := schedule.Parse(text)
		if err != nil {
			if !strings.Contains(err.Error(), "never ticks") {
				t.Fatal(err)
			}
			continue
		}
		if knownToGronx(text) {
			asked["gronx"]++
			compare(t, "gronx", text, from, ours, ticks, func(after time.Time) (time.Time, bool) {
				next, err := gronx.NextTickAfter(text, after, false)
				return next, err == nil
			})
		}
		if knownToGoCron(text) {
			asked["go-cron"]++
			theirs, err := parser.Parse(text)
			if err != nil {
				t.Fatalf("go-cron: %s: %v", text, err)
			}
			compare(t, "go-cron", text, from, ours, ticks, func(after time.Time) (time.Time, bool) {
				next := theirs.Next(after)
				return next, !next.IsZero()
			})
		}
	}
	for _, oracle := range []string{"gronx", "go-cron"} {
		if asked[oracle] < expressions/2 {
			t.Errorf("%s was asked only about %d of %d", oracle, asked[oracle], expressions)
		}
	}
}

// compare walks through ticks with another library. Ticks further away than its
// search reaches are not compared.
func compare(t *testing.T, oracle, text string, from time.Time, ours *schedule.Expression, ticks int, next func(time.Time) (time.Time, bool)) {
	t.Helper()
	at := from
	for range ticks {
		mine, ok := ours.Next(at)
		if !ok || mine.Sub(at) > 4*365*24*time.Hour {
			return
		}
		theirs, ok := next(at)
		if !ok || !theirs.Equal(mine) {
			t.Errorf("%s after %s: we say %s, %s says %s, %t", text, at, mine, oracle, theirs, ok)
			return
		}
		at = mine
	}
}

// knownToGronx: it refuses LW.
func knownToGronx(text string) bool { return !strings.Contains(text, "LW") }

// knownToGoCron: it takes a star with a step for a restriction, where cron itself
// looks at the star alone and wants both days to match.
func knownToGoCron(text string) bool {
	fields := strings.Fields(text)
	day, weekday := fields[2], fields[4]
	return day == "*" || weekday == "*" || day[0] != '*' && weekday[0] != '*'
}

// randomCron draws an expression of five fields.
func randomCron(random *rand.Rand) string {
	field := func(lo, hi int) string {
		n := func() int { return lo + random.IntN(hi-lo+1) }
		switch random.IntN(6) {
		case 0, 1:
			return "*"
		case 2:
			return fmt.Sprintf("*/%d", 1+random.IntN(hi-lo))
		case 3:
			a, b := n(), n()
			return fmt.Sprintf("%d-%d/%d", min(a, b), max(a, b), 1+random.IntN(max(1, min(5, max(a, b)-min(a, b)))))
		case 4:
			return fmt.Sprintf("%d,%d,%d", n(), n(), n())
		}
		return fmt.Sprint(n())
	}
	day, weekday := field(1, 31), field(0, 6)
	switch random.IntN(8) {
	case 0:
		day = "L"
	case 1:
		day = fmt.Sprintf("%dW", 1+random.IntN(31))
	case 2:
		day, weekday = "*", fmt.Sprintf("%d#%d", random.IntN(7), 1+random.IntN(5))
	case 3:
		day = "LW"
	}
	return strings.Join([]string{field(0, 59), field(0, 23), day, field(1, 12), weekday}, " ")
}
