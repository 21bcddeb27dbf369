package schedule

import (
	"fmt"
	"time"
)

// interval is the rule of a fixed distance, counted from an anchor, whatever any
// clock shows.
type interval struct{ anchor, step int64 }

func (i interval) next(after int64) (int64, bool) {
	tick := i.anchor + max(0, floorDiv(after-i.anchor, i.step)+1)*i.step
	return tick, tick <= maxSecond
}

func (i interval) prev(before int64) (int64, bool) {
	tick := i.anchor + floorDiv(before-1-i.anchor, i.step)*i.step
	return tick, tick >= i.anchor
}

func (i interval) explain(zone *time.Location) string {
	return fmt.Sprintf("every %s, counted from %s", durationWords(i.step),
		time.Unix(i.anchor, 0).In(zone).Format("2006-01-02 15:04:05 -07:00"))
}
