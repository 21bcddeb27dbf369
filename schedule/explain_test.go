package schedule_test

import (
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

func TestExplain(t *testing.T) {
	anchor := schedule.Anchor(time.Date(2026, 11, 26, 13, 7, 0, 0, time.UTC))
	for text, want := range map[string]string{
		"30 4 * * *":                             "at 04:30 every day, UTC",
		"15 30 4 * * *":                          "at 04:30:15 every day, UTC",
		"* * * * *":                              "every minute, UTC",
		"* * * * * *":                            "every second, UTC",
		"*/15 * * * *":                           "every 15 minutes, UTC",
		"*/25 * * * *":                           "at minutes 0, 25 and 50 of every hour, UTC",
		"*/15 8-17 * * MON-FRI":                  "every 15 minutes of hours 8 to 17 on Monday to Friday, UTC",
		"0 */2 * * *":                            "at minute 0 of hours 0, 2, 4 … 22 every day, UTC",
		"*/10 30 4 * * *":                        "at 04:30, 04:30:10, 04:30:20, 04:30:30, 04:30:40 and 04:30:50 every day, UTC",
		"0 0 * * 6-1":                            "at 00:00 on Monday, Saturday and Sunday, UTC",
		"0 0 * * 5-7":                            "at 00:00 on Friday to Sunday, UTC",
		"0 0 1,15 jan,jul *":                     "at 00:00 on days 1 and 15 of January and July, UTC",
		"0 0 * feb-apr *":                        "at 00:00 every day in February to April, UTC",
		"0 9 13 * 5":                             "at 09:00 on day 13 of the month, or on Friday, UTC",
		"0 9 13 * 5&":                            "at 09:00 on day 13 of the month, only if that is Friday, UTC",
		"0 0 L,L-1,L-3 * *":                      "at 00:00 on the last day, the day before the last and the day 3 days before the last of the month, UTC",
		"0 0 LW,15W * *":                         "at 00:00 on the weekday nearest to day 15 and the last weekday of the month, UTC",
		"0 9 * * 1#1,5#-1,3":                     "at 09:00 on Wednesday, and on the first Monday and the last Friday of the month, UTC",
		"0 0 0 1 1 * 2027-2031/2,2040,2050-2052": "at 00:00 on day 1 of January in every 2nd year from 2027 to 2031, 2040 and 2050 to 2052, UTC",
		"CRON_TZ=Europe/Berlin @hourly":          "at minute 0 of every hour, Europe/Berlin time",
		"@reboot":                                "when a worker starts and no other runs",
		"H H * * *":                              "at 15:21 every day, UTC",
		"every 90 minutes":                       "every 1 hour and 30 minutes, counted from 2026-11-26 13:07:00 +00:00",
		"every 1h":                               "every hour, counted from 2026-11-26 13:07:00 +00:00",
		"every 2 weeks":                          "at 13:07 on Thursday, every 2 weeks, counted from 2026-11-26, UTC",
		"every 5 months":                         "at 13:07 on day 26 of the month, every 5 months, counted from 2026-11-26, UTC",
		"every 1 month starting 2026-12-31":      "at 00:00 on day 31 (or the last, where there is none) of the month, from 2026-12-31 on, UTC",
		"every 3 days at 4:00":                   "at 04:00, every 3 days, counted from 2026-11-26, UTC",
		"every 15 minutes between 8:00 and 18:00 on weekday": "every 15 minutes from 08:00 to 18:00 on Monday to Friday, UTC",
		"first monday of january and july at 9":              "at 09:00 on the first Monday of January and July, UTC",
	} {
		e, err := schedule.Parse(text, anchor)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := e.Explain(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}
