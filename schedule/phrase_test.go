package schedule_test

import (
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

// phraseCases are the forms of plain language.
var phraseCases = []tickCase{
	// Days and times.
	{text: "every day at 4:30 am", canonical: "every day at 04:30", ticks: "2026-11-27 04:30, 2026-11-28 04:30"},
	{text: "Every Day at 16:30:15", canonical: "every day at 16:30:15", ticks: "2026-11-26 16:30:15"},
	{text: "daily at 5", canonical: "every day at 05:00", ticks: "2026-11-27 05:00"},
	{text: "every day", ticks: "2026-11-27 00:00"},
	{text: "every day at noon and midnight", canonical: "every day at 00:00 and 12:00", ticks: "2026-11-27 00:00, 2026-11-27 12:00"},
	{text: "every day at 12 am", canonical: "every day at 00:00", ticks: "2026-11-27 00:00"},
	{text: "every day at 12 p.m.", canonical: "every day at 12:00", ticks: "2026-11-27 12:00"},
	{text: "every day at 9, 12:15 and 17:30", canonical: "every day at 09:00, 12:15 and 17:30", ticks: "2026-11-26 17:30, 2026-11-27 09:00, 2026-11-27 12:15"},
	{text: "every day at nine pm", canonical: "every day at 21:00", ticks: "2026-11-26 21:00"},
	{text: "every day at twelve pm", canonical: "every day at 12:00", ticks: "2026-11-27 12:00"},
	{text: "noon every day", canonical: "every day at 12:00", ticks: "2026-11-27 12:00"},
	{text: "every weekday at noon", canonical: "every weekday at 12:00", ticks: "2026-11-27 12:00, 2026-11-30 12:00"},
	{text: "9am every weekday", canonical: "every weekday at 09:00", ticks: "2026-11-27 09:00, 2026-11-30 09:00"},
	{text: "every weekend at 10", canonical: "every weekend at 10:00", ticks: "2026-11-28 10:00, 2026-11-29 10:00, 2026-12-05 10:00"},
	{text: "every monday", canonical: "every monday", ticks: "2026-11-30 00:00"},
	{text: "every monday and thursday at 18:15 in Europe/Berlin", canonical: "every monday and thursday at 18:15 in Europe/Berlin", ticks: "2026-11-26 18:15, 2026-11-30 18:15"},
	{text: "on mondays, Wednesdays and fri at 8:30", canonical: "every monday, wednesday and friday at 08:30", ticks: "2026-11-27 08:30, 2026-11-30 08:30, 2026-12-02 08:30"},
	{text: "from monday to friday at 9", canonical: "every weekday at 09:00", ticks: "2026-11-27 09:00, 2026-11-30 09:00"},
	{text: "every sat-mon at 9", canonical: "every monday, saturday and sunday at 09:00", ticks: "2026-11-28 09:00, 2026-11-29 09:00, 2026-11-30 09:00, 2026-12-05 09:00"},
	{text: "every week on tuesday at 7:00", ticks: "2026-12-01 07:00, 2026-12-08 07:00"},
	{text: "weekly on friday at 16:00", ticks: "2026-11-27 16:00, 2026-12-04 16:00"},

	// Days of the month, months, years.
	{text: "first monday of the month at 9:00", canonical: "on the 1st monday of the month at 09:00", ticks: "2026-12-07 09:00, 2027-01-04 09:00"},
	{text: "the first and third tuesday of every month at 10:00", ticks: "2026-12-01 10:00, 2026-12-15 10:00, 2027-01-05 10:00"},
	{text: "every second monday of the month at 9:00", ticks: "2026-12-14 09:00, 2027-01-11 09:00"},
	{text: "last friday of november at 9:00", ticks: "2026-11-27 09:00, 2027-11-26 09:00"},
	{text: "fifth saturday of the month at 9:00", ticks: "2027-01-30 09:00, 2027-05-29 09:00"},
	{text: "last day of the month at 23:59", ticks: "2026-11-30 23:59, 2026-12-31 23:59, 2027-01-31 23:59, 2027-02-28 23:59"},
	{text: "first weekday of the month at 8", from: "2026-07-15 00:00:00", ticks: "2026-08-03 08:00, 2026-09-01 08:00"},
	{text: "last weekday of the month at 17:00", from: "2027-01-01 00:00:00", ticks: "2027-01-29 17:00, 2027-02-26 17:00"},
	{text: "1st and 15th of the month at noon", canonical: "on the 1st and 15th day of the month at 12:00", ticks: "2026-12-01 12:00, 2026-12-15 12:00"},
	{text: "day 1 and 15 of the month at 0:00", ticks: "2026-12-01 00:00, 2026-12-15 00:00"},
	{text: "on the 31st of the month", ticks: "2026-12-31 00:00, 2027-01-31 00:00, 2027-03-31 00:00"},
	{text: "every month", ticks: "2026-12-01 00:00, 2027-01-01 00:00"},
	{text: "every month on the 15th at 12:00", ticks: "2026-12-15 12:00, 2027-01-15 12:00"},
	{text: "monthly on the last friday at 15:00", ticks: "2026-11-27 15:00, 2026-12-25 15:00"},
	{text: "every monday in december and january at 9:00", ticks: "2026-12-07 09:00, 2026-12-14 09:00"},
	{text: "every day in nov to feb at 9", ticks: "2026-11-27 09:00"},
	{text: "every year", ticks: "2027-01-01 00:00, 2028-01-01 00:00"},
	{text: "every year on january 15 at 5:00 pm", ticks: "2027-01-15 17:00, 2028-01-15 17:00"},
	{text: "15 january at 9:00", canonical: "on the 15th day in january at 09:00", ticks: "2027-01-15 09:00"},
	{text: "february 29 at 9:00", ticks: "2028-02-29 09:00, 2032-02-29 09:00"},

	// Often: the clock's hours and minutes.
	{text: "every minute", canonical: "every minute", ticks: "2026-11-26 13:08, 2026-11-26 13:09"},
	{text: "hourly", canonical: "every hour", ticks: "2026-11-26 14:00, 2026-11-26 15:00"},
	{text: "every hour at minute 12", ticks: "2026-11-26 13:12, 2026-11-26 14:12"},
	{text: "every hour at :00 and :30", canonical: "every hour at minute 0 and 30", ticks: "2026-11-26 13:30, 2026-11-26 14:00"},
	{text: "every 2 hours at minute 12", ticks: "2026-11-26 14:12, 2026-11-26 16:12"},
	{text: "every minute at second 7", ticks: "2026-11-26 13:07:07, 2026-11-26 13:08:07"},
	{text: "every 15 minutes on weekdays", canonical: "every 15m on weekdays", ticks: "2026-11-26 13:15, 2026-11-26 13:30"},
	{text: "every 30 seconds on sundays", ticks: "2026-11-29 00:00, 2026-11-29 00:00:30"},

	// Windows.
	{text: "every 15 minutes between 8:00 and 18:00 on weekdays", canonical: "every 15m on weekdays between 08:00 and 18:00",
		from: "2026-11-27 17:40:00", ticks: "2026-11-27 17:45, 2026-11-27 18:00, 2026-11-30 08:00, 2026-11-30 08:15"},
	{text: "every 25 minutes from 9 am to 10 am", from: "2026-11-27 00:00:00", ticks: "2026-11-27 09:00, 2026-11-27 09:25, 2026-11-27 09:50, 2026-11-28 09:00"},
	{text: "every 50 minutes between 22:30 and 1:00", ticks: "2026-11-26 22:30, 2026-11-26 23:20, 2026-11-27 00:10, 2026-11-27 01:00, 2026-11-27 22:30"},
	{text: "every hour between 22:00 and 4:00", from: "2026-11-26 23:30:00", ticks: "2026-11-27 00:00, 2026-11-27 01:00"},
}

func TestPlainLanguage(t *testing.T) {
	for _, c := range phraseCases {
		c.check(t)
	}
}

func TestIntervals(t *testing.T) {
	anchor := func(text string) []schedule.Option {
		at, err := time.Parse(layout, text)
		if err != nil {
			t.Fatal(err)
		}
		return []schedule.Option{schedule.Anchor(at)}
	}
	for _, c := range []tickCase{
		{text: "every 40m", canonical: "every 40m", options: anchor(thursday), ticks: "2026-11-26 13:47, 2026-11-26 14:27, 2026-11-26 15:07"},
		{text: "every 40 minutes", canonical: "every 40m", options: anchor(thursday), ticks: "2026-11-26 13:47"},
		{text: "every 90 minutes", canonical: "every 1h30m", options: anchor(thursday), ticks: "2026-11-26 14:37, 2026-11-26 16:07"},
		{text: "every 1.5h", canonical: "every 1h30m", options: anchor(thursday), ticks: "2026-11-26 14:37"},
		{text: "every 2 hours and 30 minutes", canonical: "every 2h30m", options: anchor(thursday), ticks: "2026-11-26 15:37"},
		{text: "every 2h 30m", canonical: "every 2h30m", options: anchor(thursday), ticks: "2026-11-26 15:37"},
		{text: "every fifteen seconds", canonical: "every 15s", options: anchor(thursday), ticks: "2026-11-26 13:07:15, 2026-11-26 13:07:30"},
		{text: "every other hour", canonical: "every 2h", options: anchor(thursday), ticks: "2026-11-26 15:07, 2026-11-26 17:07"},
		{text: "every 7h", ticks: "2026-11-26 19:00, 2026-11-27 02:00"}, // 32,437 times from 2001-01-01
		{text: "every 100 hours", options: anchor("2030-01-01 00:00:00"), ticks: "2030-01-01 00:00, 2030-01-05 04:00"},
		{text: "every 40m starting 2026-11-26T13:00", ticks: "2026-11-26 13:40, 2026-11-26 14:20"},
		{text: "every 40m starting 2026-11-26T13:00:00+01:00", ticks: "2026-11-26 13:20"},

		{text: "every 2 weeks", canonical: "every 2 weeks", options: anchor(thursday), ticks: "2026-12-10 13:07, 2026-12-24 13:07"},
		{text: "every 2 weeks", ticks: "2026-11-30 00:00, 2026-12-14 00:00"}, // from Monday 2001-01-01
		{text: "every 2 weeks on monday and friday at 9:00 starting 2026-01-05", ticks: "2026-11-27 09:00, 2026-12-07 09:00, 2026-12-11 09:00"},
		{text: "every other monday at 9:00", canonical: "every 2 weeks on monday at 09:00", options: anchor(thursday), ticks: "2026-12-07 09:00, 2026-12-21 09:00"},
		{text: "every other day at 9am", canonical: "every 2 days at 09:00", options: anchor(thursday), ticks: "2026-11-28 09:00, 2026-11-30 09:00"},
		{text: "every 3 days at 4:00", options: anchor(thursday), ticks: "2026-11-29 04:00, 2026-12-02 04:00"},
		{text: "every 5 months", options: anchor(thursday), ticks: "2027-04-26 13:07, 2027-09-26 13:07, 2028-02-26 13:07"},
		{text: "every 1 month starting 2026-12-31", ticks: "2026-12-31 00:00, 2027-01-31 00:00, 2027-02-28 00:00, 2027-03-31 00:00"},
		{text: "every 3 months on the 1st at 6:00", options: anchor(thursday), ticks: "2027-02-01 06:00, 2027-05-01 06:00"},
		{text: "every 3 months on the last friday at 6:00 starting 2026-01-01", ticks: "2027-01-29 06:00, 2027-04-30 06:00"},
		{text: "every 1 year starting 2024-02-29T12:00", ticks: "2027-02-28 12:00, 2028-02-29 12:00"},
		{text: "every 2 years on february 29", options: anchor(thursday), ticks: "2028-02-29 00:00, 2032-02-29 00:00"},
	} {
		c.check(t)
	}
}

// An interval has no ticks before its anchor, which is the first.
func TestAnchorIsTheFirstTick(t *testing.T) {
	anchor := time.Date(2026, 11, 26, 13, 7, 11, 500, time.UTC)
	for _, text := range []string{"every 40m", "every 3 days", "every 2 weeks", "every 5 months", "every 2 years"} {
		e, err := schedule.Parse(text, schedule.Anchor(anchor))
		if err != nil {
			t.Fatal(err)
		}
		first, ok := e.Next(time.Time{})
		if !ok || !first.Equal(anchor.Truncate(time.Second)) {
			t.Errorf("%s: the first tick is %s, want the anchor %s", text, first, anchor)
		}
		if before, ok := e.Prev(first); ok {
			t.Errorf("%s: %s is before the anchor", text, before)
		}
	}
}
