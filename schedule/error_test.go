package schedule_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/schedule"
)

// mistakes are texts with the word that their error points at, and what it says.
var mistakes = []struct{ text, word, says string }{
	{"", "", "there is no expression; write, for example, 30 4 * * *"},
	{" \t ", "", "there is no expression"},
	{"CRON_TZ=UTC", "", "there is no expression"},
	{strings.Repeat("x", 513), "x", "at most 512 bytes"},

	{"60 * * * *", "60", "the field minute takes 0 to 59"},
	{"0 24 * * *", "24", "the field hour takes 0 to 23; midnight is hour 0"},
	{"0 0 0 * *", "0", "the field day of the month takes 1 to 31"},
	{"0 0 32 * *", "32", "the field day of the month takes 1 to 31"},
	{"0 0 * 13 *", "13", "the field month takes 1 to 12"},
	{"0 0 * jna *", "jna", "did you mean jan?"},
	{"0 0 * * frday", "frday", "did you mean friday?"},
	{"0 0 * * mo", "mo", "takes 0 to 7 and names such as mon; did you mean mon?"},
	{"0 0 * * 8", "8", "the field weekday takes 0 to 7"},
	{"* * * * *x", "*x", "the field weekday takes"},
	{"0 0 0 * * * 10000", "10000", "the field year takes 1970 to 9999"},
	{"0 0 0 * * * 2030-2027", "2030-2027", "did you mean 2027-2030?"},
	{"1-5/0 * * * *", "0", "a step is a number from 1 to 9999"},
	{"*/ * * * *", "*/", "a step is a number"},
	{"*/99999999999999999999 * * * *", "99999999999999999999", "a step is a number"},
	{"1,,2 * * * *", "1,,2", "an entry of this list of the field minute is empty"},
	{"0 0 1-2-3 * *", "2-3", "takes 1 to 31"},
	{"* * * *", "", "5 fields, 6 with seconds or 7 with seconds and year, and not 4"},
	{"* * * * * * * *", "*", "and not 8"},
	{"0 0 1 1 * 2027", "2027", "the last of six fields is the weekday; for a year write the seconds, too"},
	{"0 & 0 1 1 1", "&", "& stands after the weekday"},
	{"0 0 30 2 *", "30", "there is no such day: the expression never ticks"},
	{"0 0 W * *", "W", "write 15W for the weekday nearest to the 15th"},
	{"0 0 L-31 * *", "L-31", "days before the last are counted from 1 to 30"},
	{"0 0 * * 5#6", "5#6", "counted from 1 to 5"},
	{"0 0 * * 1-5#2", "1-5#2", "only one weekday can be counted; write a list such as 1#2,3#2"},
	{"0 0 * * L", "L", "write 5L for the month's last Friday"},
	{"0 0 * * sun%2", "sun%2", "every 2 weeks on sunday"},
	{"H(5-2) * * * *", "H(5-2)", "cannot be drawn from 5 to 2"},
	{"H(5 * * * *", "H(5", "a drawn value is written H, H(lo-hi)"},
	{"0 0 0 * * * H", "H", "years are not drawn"},
	{"0 9 * * * Europe/Berln", "Europe/Berln", "there is no such time zone"},
	{"0 9 * * * europe/berlin", "europe/berlin", "did you mean Europe/Berlin?"},
	{"0 9 * * * Local", "Local", "there is no such time zone"},
	{"TZ=UTC 0 9 * * * Europe/Berlin", "Europe/Berlin", "the expression already names the time zone UTC"},
	{"TZ=../../etc/passwd 0 9 * * *", "../../etc/passwd", "there is no such time zone"},
	{"@noom", "@noom", "did you mean @noon?"},
	{"@hourly 5", "5", "nothing but a time zone may follow @hourly"},

	{"every", "", "every what?"},
	{"every tuesdya at 9", "tuesdya", "did you mean tuesday?"},
	{"every day at 25:00", "25:00", "this is not a time of the day"},
	{"every day at 24:00", "24:00", "midnight is 0:00 of the day that begins"},
	{"every day at 9:5", "9:5", "this is not a time of the day"},
	{"every day at 13 pm", "13", "this is not a time of the day"},
	{"every day at 9 and 10 pm", "9", "am or pm?"},
	{"every day at", "", "a time is missing"},
	{"every day at 9,", ",", "something is missing after the comma"},
	{"every day at 9 in Europe/Berln", "Europe/Berln", "there is no such time zone"},
	{"every day at 9 exept sunday", "exept", "this word is not understood here"},
	{"every day at 9 at 10", "at", "the expression already says at which times"},
	{"every monday at 9:00 and every tuesday at 10:00", "and", "two rules are two schedules"},
	{"every dya at 9", "dya", "did you mean day?"},
	{"every 5 minuts", "minuts", "did you mean minutes?"},
	{"every 5M", "M", "write 5 months or 5 minutes"},
	{"every 0 minutes", "0", "at least 1 second and at most 100 years"},
	{"every 1000 years", "1000", "at most 100 years"},
	{"every 99999999999 hours", "99999999999", "this number is too large"},
	{"every 0.3s", "0.3", "not a whole number of seconds"},
	{"every 1 day and 2 hours", "hours", "do not mix with others; write, for example, every 36 hours"},
	{"every 5", "", "every 5 minutes"},
	{"every minutes", "minutes", "every how many minutes?"},
	{"every week at 9:00", "every", "on which day of the week?"},
	{"every second monday at 9:00", "second", "of the month, or counted?"},
	{"every 7 minutes on saturday", "every", "does not divide a day into equal parts"},
	{"every 5 minutes at 9:00", "at", "a time of the day does not go with minutes"},
	{"every 15 minutes between 8:00", "", "and is missing after the window's first time"},
	{"every 15 minutes between 8:00 and 8:00", "8:00", "a window ends at another time"},
	{"every 15 minutes between 22:00 and 2:00 on monday", "between", "belongs to two days"},
	{"every day from 9:00 to 17:00 every hour", "every", "the expression already says how often"},
	{"every day between 8:00 and 18:00", "between", "how often in this window?"},
	{"every day at 9 starting 2026-01-05", "starting", "only an interval counts from a date"},
	{"every 2 days starting 2026-13-05", "2026-13-05", "this is not a date"},
	{"first monday at 9", "first", "the first of what?"},
	{"sixth monday of the month", "sixth", "did you mean"},
	{"6th monday of the month", "6th", "a month has at most five of a weekday"},
	{"32nd of the month", "32nd", "a month has no such day"},
	{"february 30 at 9:00", "", "there is no such day"},
	{"at 9", "", "on which days?"},
	{"every day on monday", "monday", "every day already says on which days"},
	{"tomorrow at 9", "tomorrow", "this word is not understood here"},
	{"every montag at \xff9", "\xff9", "written in ASCII letters"},
	{"every wee\u212a on monday", "wee\u212a", "written in ASCII letters"}, // the sign for kelvin
}

// Each message points at a word and says what to write instead.
func TestErrorsPointAtTheWord(t *testing.T) {
	for _, c := range mistakes {
		e, err := schedule.Parse(c.text)
		if err == nil {
			t.Errorf("%q is %s, want an error that says %q", c.text, e, c.says)
			continue
		}
		var p *schedule.ParseError
		if !errors.As(err, &p) {
			t.Errorf("%q: the error is a %T", c.text, err)
			continue
		}
		word := p.Word
		if len(c.text) > 512 {
			word = word[:1]
		}
		if !strings.Contains(err.Error(), c.says) || word != c.word && c.word != "" {
			t.Errorf("%q: %v\n points at %q, want %q and the words %q", c.text, err, p.Word, c.word, c.says)
		}
		if p.Text != c.text || p.Text[p.Offset:p.Offset+len(p.Word)] != p.Word {
			t.Errorf("%q: the word %q is not at %d", c.text, p.Word, p.Offset)
		}
	}
}

func TestErrorReads(t *testing.T) {
	_, err := schedule.Parse("every tuesdya at 9")
	const want = `schedule: "every tuesdya at 9": "tuesdya" at column 7: this is neither a number, a unit of time nor a day; did you mean tuesday?`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
