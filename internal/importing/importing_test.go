package importing_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/internal/importing"
)

// read reads a text without refusing anything.
func read(t *testing.T, format, text string) importing.Result {
	t.Helper()
	result, err := importing.Read(format, []byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// lines writes entries one a line: expression, kind, and warnings.
func lines(result importing.Result) string {
	var b strings.Builder
	for _, e := range result.Entries {
		fmt.Fprintf(&b, "%d %s | %s %s %s", e.Line, e.Name, e.Expression, e.Kind, e.Args)
		if e.Zone != "UTC" {
			b.WriteString(" in " + e.Zone)
		}
		for _, w := range e.Warnings {
			b.WriteString("\n  ! " + w)
		}
		b.WriteString("\n")
	}
	for _, r := range result.Refused {
		fmt.Fprintf(&b, "%d refused %s: %s\n", r.Line, r.Text, r.Problem)
	}
	return b.String()
}

func wantLines(t *testing.T, got importing.Result, want string) {
	t.Helper()
	g, w := strings.Split(strings.TrimSpace(lines(got)), "\n"), strings.Split(strings.TrimSpace(want), "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, a, b)
		}
	}
}

const crontab = `# a server's own
SHELL=/bin/bash
MAILTO="ops@example.org"
PATH=/usr/local/bin:/usr/bin

# m h dom mon dow command
17 *	* * *	run-parts /etc/cron.hourly
25 6	* * *	/usr/sbin/logrotate /etc/logrotate.conf
*/5 * * * *	/opt/shop/bin/poll --quiet
*/7 * * * *	/opt/shop/bin/odd
0 */5 * * *	/opt/shop/bin/fifth-hour
0 0 */2 * *	/opt/shop/bin/every-other-day
30 2 1 * *	/opt/shop/bin/bill --month "$(date +\%Y-\%m)"
0 9 13 * 5	/opt/shop/bin/unlucky
0 22 * * 1-5	/opt/shop/bin/close
15 14 1 jan,jul *	/opt/shop/bin/half-year
0 4 8-14 * */7	/opt/shop/bin/second-sunday
@daily	/opt/shop/bin/digest
@reboot	/opt/shop/bin/warm-up
*/10 * * * *	curl -fsS https://shop.example.org/ping > /dev/null
0 5 * * *	curl -X POST https://shop.example.org/sync
0 6 * * *	wget -q https://shop.example.org/feed && /opt/shop/bin/load
CRON_TZ=Europe/Berlin
30 2 * * *	/opt/shop/bin/german-night
61 * * * *	/opt/shop/bin/never
0 0 30 2 *	/opt/shop/bin/never-either
not an entry
0 0 * * *
5 4 * * sun	echo 100% done
0 1 * * *	root	/usr/sbin/tidy
`

func TestCrontab(t *testing.T) {
	result := read(t, "crontab", crontab)
	wantLines(t, result, `
7 run_parts | 17 * * * * command {"command":"run-parts /etc/cron.hourly"}
8 logrotate | 25 6 * * * command {"command":"/usr/sbin/logrotate /etc/logrotate.conf"}
9 poll | */5 * * * * command {"command":"/opt/shop/bin/poll --quiet"}
10 odd | */7 * * * * command {"command":"/opt/shop/bin/odd"}
  ! */7 begins anew with each hour, so the last gap is another; evenly it would be “every 7 minutes”
11 fifth_hour | 0 */5 * * * command {"command":"/opt/shop/bin/fifth-hour"}
  ! */5 begins anew with each day, so the last gap is another; evenly it would be “every 5 hours”
12 every_other_day | 0 0 */2 * * command {"command":"/opt/shop/bin/every-other-day"}
  ! */2 begins anew with each month, so the last gap is another; evenly it would be “every 2 days”
13 bill | 30 2 1 * * command {"command":"/opt/shop/bin/bill --month \"$(date +%Y-%m)\""}
14 unlucky | 0 9 13 * 5 command {"command":"/opt/shop/bin/unlucky"}
  ! cron runs it on either of the days, 13 and 5; if both were meant, write 0 9 13 * 5&
15 close | 0 22 * * 1-5 command {"command":"/opt/shop/bin/close"}
16 half_year | 15 14 1 1,7 * command {"command":"/opt/shop/bin/half-year"}
17 second_sunday | 0 4 8-14 * */7 command {"command":"/opt/shop/bin/second-sunday"}
18 digest | 0 0 * * * command {"command":"/opt/shop/bin/digest"}
19 warm_up | @reboot command {"command":"/opt/shop/bin/warm-up"}
  ! there it runs when the machine starts; here when a worker starts and no other runs
20 get_shop_example_org_ping | */10 * * * * http {"url":"https://shop.example.org/ping"}
21 curl | 0 5 * * * command {"command":"curl -X POST https://shop.example.org/sync"}
22 load | 0 6 * * * command {"command":"wget -q https://shop.example.org/feed && /opt/shop/bin/load"}
24 german_night | 30 2 * * * command {"command":"/opt/shop/bin/german-night"} in Europe/Berlin
29 echo | 5 4 * * 0 command {"command":"echo 100% done"} in Europe/Berlin
  ! a % of cron's ends the command; what follows is its input
30 root | 0 1 * * * command {"command":"root\t/usr/sbin/tidy"} in Europe/Berlin
  ! a system's crontab has a user before the command; root is taken for the command here: remove it
25 refused 61 * * * * /opt/shop/bin/never: "61": the field minute takes 0 to 59
26 refused 0 0 30 2 * /opt/shop/bin/never-either: "30": there is no such day: the expression never ticks
27 refused not an entry: an entry has 5 fields and a command
28 refused 0 0 * * *: an entry has 5 fields and a command
`)
	if len(result.Ignored) != 3 {
		t.Errorf("ignored %+v", result.Ignored)
	}
}

const wheneverFile = `# comments, and what is set
set :output, "log/cron.log"
env :PATH, ENV['PATH']
job_type :sing, "cd :path && sing :task"

every 3.hours do
  runner "Stock.refresh"       # a class method
  rake "search:reindex[full,fast]"
  command "/usr/bin/sweep"
end

every 1.day, at: '4:30 am' do
  runner "Reports::NightlyJob.perform"
end
every 1.day, :at => ['4:30 am', '6:00 pm'], :roles => [:app, :db] do
  runner 'MyHTTPClient.ping', description: "says hello"
end
every(:hour) { rake "tidy" }
every :sunday, at: '12pm' do runner "Week.close" end
every [:sat, :sun], at: 'noon' do
  sing "loud", :to => "all"
end
every 'monday, wednesday', at: '10:15' do rake "lunch" end
every :weekday, at: 5..7 do
  rake "early"
end
every '0 0 27-31 * *' do
  command "echo it is nearly over"
end
every 90.minutes do rake "ninety" end
every 40.minutes do rake "forty" end
every 25.minutes do rake "twenty_five" end
every 15.minutes do rake "quarter" end
every 5.hours do rake "five_hours" end
every 36.hours do rake "thirty_six" end
every 2.hours, at: 12 do rake "half_past" end
every 3.days, at: '2:00' do rake "three_days" end
every 1.week do rake "weekly" end
every 1.month, at: '27th 12:00' do rake "monthly" end
every 3.months do rake "quarterly" end
every 5.months do rake "five_months" end
every 1.year, at: 'January 15th 5:00pm' do rake "yearly" end
every :reboot do rake "boot" end
every :day, at: "#{hour}:00" do rake "computed" end
every some_interval do rake "unknown" end
if production?
  every :day do
    rake "conditional"
  end
end
every 2.years do rake "too_rare" end
[1, 2].each do |n|
  every n.hours do rake "loop" end
end
every :day, at: '12:20am' do
  rake "last"
  File.delete("x")
end
`

func TestWhenever(t *testing.T) {
	const days = "whenever begins anew with each month; here it is every 3 days, counted from when the schedule is made"
	wantLines(t, read(t, "whenever", wheneverFile), `
7 stock_refresh | 0 */3 * * * stock_refresh 
8 search_reindex | 0 */3 * * * search_reindex {"args":["full","fast"]}
9 sweep | 0 */3 * * * command {"command":"/usr/bin/sweep"}
13 reports_nightly_job_perform | every day at 04:30 reports_nightly_job_perform 
16 my_http_client_ping | every day at 04:30 and 18:00 my_http_client_ping 
  ! roles chose the servers; here any worker that has the kind's handler runs the job
18 tidy | 0 * * * * tidy 
19 week_close | every sunday at 12:00 week_close 
21 sing | every weekend at 12:00 command {"command":"cd :path && sing loud"}
  ! :path is not set in this file: fill it in
  ! the option to: "all" is not carried over
23 lunch | every monday and wednesday at 10:15 lunch 
25 early | every weekday at 05:00, 06:00 and 07:00 early 
28 echo | 0 0 27-31 * * command {"command":"echo it is nearly over"}
30 ninety | every 1h30m ninety 
  ! whenever runs it every hour; here it is every 90 minutes
31 forty | every 40m forty 
  ! whenever runs it once an hour, at minute 40; here it is every 40 minutes
32 twenty_five | every 25m twenty_five 
  ! whenever begins anew with each hour, with a gap of 35 minutes; here it is every 25 minutes
33 quarter | */15 * * * * quarter 
34 five_hours | every 5h five_hours 
  ! whenever begins anew with each day, with a gap of 9 hours; here it is every 5 hours
35 thirty_six | every 36h thirty_six 
  ! whenever runs it every day; here it is every 36 hours
36 half_past | 12 */2 * * * half_past 
37 three_days | every 3 days at 02:00 three_days 
  ! `+days+`
  ! whenever takes 2:00, without am or pm, for the afternoon; here it is in the morning
38 weekly | every 1 week weekly 
  ! whenever runs it on the 1st, 8th, 15th and 22nd of each month; here it is every week, counted from when the schedule is made
39 monthly | on the 27th day of the month at 12:00 monthly 
40 quarterly | on the 1st day in january, april, july and october quarterly 
41 five_months | every 5 months on the 1st day five_months 
  ! whenever begins anew with each year; here it is every 5 months, counted from when the schedule is made
42 yearly | every year on the 15th day in january at 17:00 yearly 
43 boot | @reboot boot 
  ! there it runs when the machine starts; here when a worker starts and no other runs
56 last | every day at 00:20 last 
44 refused every :day, at: "#{hour}:00": the times cannot be read without running Ruby: "#{hour}:00"
45 refused every some_interval: this is not a frequency that can be read without running Ruby
46 refused if production?: Ruby code is not executed: write what it makes
51 refused every 2.years: whenever knows no more than a year
52 refused [1, 2].each do | n |: Ruby code is not executed: write what it makes
57 refused File.delete("x"): this is not a task: write, for example, runner "Model.task"
`)
}

func TestSidekiq(t *testing.T) {
	wantLines(t, read(t, "sidekiq-scheduler", `
:concurrency: 5
:scheduler:
  :dynamic: true
  :schedule:
    greet_everybody:
      cron: '0 30 6 * * 1'   # seconds first
      class: GreetWorker
      queue: low
      args: ['*.pdf', {deep: true}]
      description: "on Mondays"
    RefreshCacheWorker:
      every: ['45m', {first_in: '10s'}]
    berlin:
      cron: "*/40 22 * * 1-5 Europe/Berlin"
      class: Reports::Berlin
      rails_env: production
      enabled: false
    once:
      at: '2030-01-01 10:00'
    odd:
      cron: every full moon
    broken: 5
`), `
6 greet_everybody | 0 30 6 * * 1 greet_worker {"args":["*.pdf",{"deep":true}]}
12 RefreshCacheWorker | every 45m refresh_cache_worker 
  ! the options of every are not carried over
  ! sidekiq-scheduler counts anew in each process and from each start; here all count from when the schedule is made
14 berlin | CRON_TZ=Europe/Berlin */40 22 * * 1-5 reports_berlin  in Europe/Berlin
  ! the option rails_env is not carried over
  ! */40 begins anew with each hour, so the last gap is another; evenly it would be “every 40 minutes”
19 refused once: at runs once: enqueue a job for that time
21 refused odd: cron every full moon: "full": this is neither a number, a unit of time nor a day; write, for example, every day at 9:00 or every monday at noon
23 refused broken: this is not a schedule: a mapping with class and when it is due
`)
	wantLines(t, read(t, "sidekiq-cron", `
nightly:
  cron: every day at 5 am
  klass: NightlyJob
  status: disabled
`), "2 nightly | every day at 05:00 nightly_job ")
}

func TestSolidQueue(t *testing.T) {
	wantLines(t, read(t, "solid-queue", `
development:
  ignored:
    class: Nothing
    schedule: every hour
production:
  clean_finished:
    command: "Job.clear_finished(sleep_between_batches: 0.3)"
    schedule: every hour at minute 12
  sync:
    class: Sync::EverythingJob
    args: [1]
    queue: background
    priority: 2
    schedule: at 5am every day
`), `
7 clean_finished | every hour at minute 12 clean_finished 
  ! the command is Ruby code and is not carried over; write it into the handler of clean_finished
10 sync | every day at 05:00 sync_everything_job {"args":[1]}
  ! the priority 2 is not carried over: here 0 is the first and 9 the last
`)
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ format, text, zone, says string }{
		{"cron", "", "", "is not one of crontab, whenever"},
		{"crontab", "", "Mars", "no such time zone"},
		{"crontab", "\xff", "", "not text in UTF-8"},
		{"crontab", "0 0 * * * a\x00", "", "not text in UTF-8"},
		{"sidekiq-cron", "a: [", "", "this is not YAML"},
		{"sidekiq-cron", "a: <%= 1 %>", "", "ERB"},
		{"crontab", strings.Repeat("#", importing.MaxFile+1), "", "more than the limit"},
	} {
		if _, err := importing.Read(c.format, []byte(c.text), c.zone); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.format, err, c.says)
		}
	}
}

// The file with handlers compiles as it is, in this module.
func TestGoFileCompiles(t *testing.T) {
	result := read(t, "whenever", wheneverFile)
	text, err := importing.GoFile("imported", result.Entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`worker.HandleNamed(w, "stock_refresh", handleStockRefresh)`, "func handleNinety(ctx"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file lacks %s", want)
		}
	}
	overlay, made := filepath.Join(t.TempDir(), "overlay.json"), filepath.Join(t.TempDir(), "imported.go")
	if err := os.WriteFile(made, text, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprintf(`{"Replace":{%q:%q}}`, filepath.Join(root, "imported", "imported.go"), made)
	if err := os.WriteFile(overlay, []byte(files), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "./imported")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, text)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(0, crontab)
	f.Add(1, wheneverFile)
	f.Add(2, ":scheduler:\n  :schedule:\n    a:\n      cron: '* * * * *'\n      args: [1]\n")
	f.Add(4, "production:\n  a:\n    class: A\n    schedule: every 5 minutes\n")
	f.Fuzz(func(t *testing.T, n int, text string) {
		format := importing.Formats[(n%len(importing.Formats)+len(importing.Formats))%len(importing.Formats)]
		result, err := importing.Read(format, []byte(text), "")
		if err != nil {
			return
		}
		for _, e := range result.Entries {
			if e.Name == "" || e.Kind == "" || e.Meaning == "" || e.Line < 1 {
				t.Errorf("%s: %+v", format, e)
			}
		}
		if _, err := importing.GoFile("imported", result.Entries); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if _, err := importing.ConfigFile(result.Entries); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	})
}
