package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

// What is written for a crontab has the ticks of what it was written of.
func TestCrontab(t *testing.T) {
	for text, want := range map[string]string{
		"30 4 * * *":                              "30 4 * * *",
		"H 4 * * *":                               "24 4 * * *",
		"*/15 8-17 * * MON-FRI":                   "*/15 8-17 * * 1-5",
		"0 9 13 * 5":                              "0 9 13 * 5",
		"0 9 */2 * 1":                             "",
		"0 9 13 * 5&":                             "",
		"0 9 L * *":                               "",
		"0 9 * * 5#2":                             "",
		"15 30 4 * * *":                           "",
		"0 0 0 1 1 * 2030":                        "",
		"0 */12 * * *":                            "0 */12 * * *",
		"0 */2 * * *":                             "0 */2 * * *",
		"0 */13 * * *":                            "0 */13 * * *",
		"0 0,12 * * *":                            "0 0,12 * * *",
		"0 0,8,16 * * *":                          "0 0,8,16 * * *",
		"0 0-23 * * *":                            "0 0-23 * * *",
		"0,30 * * * *":                            "0,30 * * * *",
		"0 22-2 * * *":                            "0 0-2,22,23 * * *",
		"0 0 1 jan,jul *":                         "0 0 1 1,7 *",
		"@reboot":                                 "@reboot",
		"every day at 4:30":                       "30 4 * * *",
		"every day at 4:30 and 18:30":             "30 4,18 * * *",
		"every day at 4:30 and 18:00":             "",
		"every weekday at noon":                   "0 12 * * 1-5",
		"mondays at 9":                            "0 9 * * 1",
		"1st and 15th of the month at 6":          "0 6 1,15 * *",
		"every year on january 15 at 5pm":         "0 17 15 1 *",
		"every minute":                            "* * * * *",
		"every 15 minutes on weekdays":            "*/15 * * * 1-5",
		"every hour at minute 12":                 "12 * * * *",
		"every 40m":                               "",
		"every 2 weeks on monday at 9:00":         "",
		"every 2 weeks":                           "",
		"every 15 minutes between 8:00 and 18:00": "",
		"last day of the month at 23:59":          "",
		"first monday of the month at 9:00":       "",
	} {
		e, err := schedule.Parse(text, schedule.Name("nightly_report"))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := e.Crontab()
		if got != want || ok != (want != "") {
			t.Errorf("%q is written as %q, %t; want %q", text, got, ok, want)
		}
		if !ok || e.Reboot() {
			continue
		}
		again := schedule.MustParse(got)
		for at, n := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0; n < 500; n++ {
			one, _ := e.Next(at)
			other, _ := again.Next(at)
			if !one.Equal(other) {
				t.Errorf("%q: %s, but %q: %s", text, one, got, other)
			}
			at = one
		}
	}
}

func ExampleExpression_Crontab() {
	fmt.Println(schedule.MustParse("every weekday at 4:30 in Europe/Berlin").Crontab())
	fmt.Println(schedule.MustParse("every 40m").Crontab())
	// Output:
	// 30 4 * * 1-5 true
	//  false
}
