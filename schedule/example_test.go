package schedule_test

import (
	"fmt"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

func Example() {
	e, err := schedule.Parse("every monday and thursday at 18:15 in Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Explain())
	now := time.Date(2026, 10, 20, 12, 0, 0, 0, time.UTC)
	next, _ := e.Next(now)
	prev, _ := e.Prev(now)
	fmt.Println("next:", next)
	fmt.Println("previous:", prev)
	// Output:
	// at 18:15 on Monday and Thursday, Europe/Berlin time
	// next: 2026-10-22 18:15:00 +0200 CEST
	// previous: 2026-10-19 18:15:00 +0200 CEST
}

func ExampleParse_notUnderstood() {
	_, err := schedule.Parse("every tuesdya at 9:00")
	fmt.Println(err)
	// Output:
	// schedule: "every tuesdya at 9:00": "tuesdya" at column 7: this is neither a number, a unit of time nor a day; did you mean tuesday?
}

func ExampleExpression_Ticks() {
	e, err := schedule.Parse("0 0 29 2 *")
	if err != nil {
		fmt.Println(err)
		return
	}
	for tick := range e.Ticks(time.Date(2093, 1, 1, 0, 0, 0, 0, time.UTC)) {
		fmt.Println(tick.Format(time.DateOnly))
		if tick.Year() > 2100 {
			break
		}
	}
	// Output:
	// 2096-02-29
	// 2104-02-29
}

// An interval is counted from an anchor, whatever the hour shows: every 40
// minutes is every 40 minutes, also over the hour's end.
func ExampleAnchor() {
	e, err := schedule.Parse("every 40m", schedule.Anchor(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)))
	if err != nil {
		fmt.Println(err)
		return
	}
	n := 0
	for tick := range e.Ticks(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)) {
		fmt.Println(tick.Format(time.TimeOnly))
		if n++; n == 3 {
			break
		}
	}
	// Output:
	// 09:40:00
	// 10:20:00
	// 11:00:00
}

// Names spread schedules of one expression over the hour.
func ExampleName() {
	for _, name := range []string{"clean_up", "send_digest"} {
		e, err := schedule.Parse("H 4 * * *", schedule.Name(name))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name, e.Explain())
	}
	// Output:
	// clean_up at 04:22 every day, UTC
	// send_digest at 04:10 every day, UTC
}

func ExampleIn() {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := schedule.Parse("30 2 * * *", schedule.In(berlin))
	if err != nil {
		fmt.Println(err)
		return
	}
	// On 29 March 2026 the clock goes from 2:00 to 3:00.
	tick, _ := e.Next(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))
	fmt.Println(tick)
	// Output:
	// 2026-03-29 03:00:00 +0200 CEST
}

func ExampleExpression_Reboot() {
	e, err := schedule.Parse("@reboot")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, ticks := e.Next(time.Time{})
	fmt.Println(e.Explain(), e.Reboot(), ticks)
	// Output: when a worker starts and no other runs true false
}
