package schedule

import (
	"math"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // so that zones are found where the system has no data
)

// zonePrefix reads CRON_TZ=Zone or TZ=Zone before the expression.
func (in *input) zonePrefix() error {
	if len(in.words) == 0 {
		return nil
	}
	first := in.words[0]
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		if name, found := strings.CutPrefix(first.text, prefix); found {
			in.words = in.words[1:]
			return in.nameZone(word{name, first.at + len(prefix)})
		}
	}
	return nil
}

// zoneSuffix reads a zone after the fields of a cron expression, or after one
// keyword. A short word is a field if there would be too few without it.
func (in *input) zoneSuffix(fields int) error {
	last := in.words[len(in.words)-1]
	if len(in.words) <= fields && !strings.Contains(last.text, "/") {
		return nil
	}
	letters := strings.IndexFunc(last.text, func(r rune) bool { return !letter(r) })
	if letters < 0 {
		letters = len(last.text)
	}
	head := strings.ToLower(last.text[:letters])
	_, month := monthNumber(head)
	_, weekday := weekdayNumber(strings.TrimSuffix(head, "l")) // FRIL is a field
	_, named := weekdayNumber(head)
	if letters == 0 || letters == 1 && !strings.Contains(last.text, "/") || month || weekday || named || head == "lw" || head == "last" || head == "h" {
		return nil
	}
	in.words = in.words[:len(in.words)-1]
	return in.nameZone(last)
}

// Zone returns the zone with an IANA name, such as Europe/Berlin or UTC. The
// names that differ from machine to machine, such as Local, are not among them.
// An error is always a [*ParseError].
func Zone(name string) (*time.Location, error) {
	in := &input{text: name}
	if err := in.nameZone(word{name, 0}); err != nil {
		return nil, err
	}
	return in.zone, nil
}

// nameZone sets the zone that the text names. A text may name it twice, but not two.
func (in *input) nameZone(w word) error {
	zone, ok := loadZone(w.text)
	if !ok {
		err := in.fail(w, "there is no such time zone").hint("zones have names like Europe/Berlin, America/New_York or UTC")
		if fixed := capitalize(w.text); fixed != w.text {
			if _, ok := loadZone(fixed); ok {
				err.hint("did you mean %s?", fixed)
			}
		}
		return err
	}
	if in.named != "" && in.named != w.text {
		return in.fail(w, "the expression already names the time zone %s", in.named)
	}
	in.named, in.zone = w.text, zone
	return nil
}

// loaded keeps the zones that were found, by name: they are large and shared.
// Names are checked before, so that there are no more than zones.
var loaded sync.Map

// loadZone returns the zone with an IANA name.
func loadZone(name string) (*time.Location, bool) {
	if zone, ok := loaded.Load(name); ok {
		return zone.(*time.Location), true
	}
	if !zoneName(name) {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	known, _ := loaded.LoadOrStore(name, zone)
	return known.(*time.Location), true
}

// zoneName reports whether a text may be the name of one zone for all machines.
// Local and localtime are another on each; those below posix and right are
// copies, the latter with leap seconds, which Go does not know.
func zoneName(name string) bool {
	if len(name) > 40 || name == "Local" || name == "localtime" {
		return false
	}
	for i, part := range strings.Split(name, "/") {
		if part == "" || i == 0 && (part == "posix" || part == "right") {
			return false
		}
		for _, r := range part {
			if !letter(r) && (r < '0' || r > '9') && r != '_' && r != '-' && r != '+' {
				return false
			}
		}
	}
	return true
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// capitalize writes a name as the names of zones are usually written.
func capitalize(name string) string {
	if !strings.Contains(name, "/") {
		return strings.ToUpper(name)
	}
	begins := true
	return strings.Map(func(r rune) rune {
		if !letter(r) {
			begins = true
			return r
		}
		if begins {
			begins = false
			return r &^ 0x20
		}
		return r | 0x20
	}, name)
}

// The clock of a zone reads an instant plus the zone's offset then. Offsets are
// less than 16 hours either way, so that two readings of instants further apart
// than horizon are in the order of the instants.
const horizon = 48 * 3600

// period is a time in which a zone's offset does not change: [start, end).
type period struct{ start, end, offset int64 }

// periodOf returns the period that holds an instant.
func periodOf(zone *time.Location, instant int64) period {
	t := time.Unix(instant, 0).In(zone)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	p := period{math.MinInt64, math.MaxInt64, int64(offset)}
	if !start.IsZero() {
		p.start = start.Unix()
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	if p.end <= instant {
		// On a leap year's last day Go takes the year to be over (go.dev/issue/81583).
		p.end = (floorDiv(instant, daySeconds) + 1) * daySeconds
	}
	return p
}

// latestReading returns the latest time that the clock has shown up to and at
// an instant. After the clock was set back, that is not its present one.
func latestReading(zone *time.Location, instant int64) int64 {
	p := periodOf(zone, instant)
	latest := instant + p.offset
	for p.start > instant-horizon {
		start := p.start
		p = periodOf(zone, start-1)
		latest = max(latest, start-1+p.offset)
	}
	return latest
}

// firstShown returns the first instant at which the clock shows a reading or a
// later one: the reading's first time if it comes twice, the end of the gap if
// it is skipped. Later readings never have earlier instants.
func firstShown(zone *time.Location, reading int64) int64 {
	p := periodOf(zone, reading-horizon/2) // no clock has shown it yet
	for {
		if instant := max(reading-p.offset, p.start); instant < p.end {
			return instant
		}
		p = periodOf(zone, p.end)
	}
}
