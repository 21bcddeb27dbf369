package demo

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	_ "github.com/jackc/pgx/v5/stdlib" // for database/sql
	"github.com/wneessen/go-mail"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/worker"
)

// onBothStores runs a test against a demo on SQLite and against one on PostgreSQL.
func onBothStores(t *testing.T, test func(t *testing.T, s *site), change ...func(*Config)) {
	t.Run("sqlite", func(t *testing.T) { test(t, start(t, change...)) })
	t.Run("postgres", func(t *testing.T) {
		database := pgtest.Open(t)
		store, err := postgres.Open(t.Context(), database.URL)
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("pgx", database.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		tables, err := PostgresTables(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		test(t, startOn(t, t.TempDir(), store, append(change, func(cfg *Config) { cfg.Tables = tables })...))
	})
}

// run presses the button of a schedule and waits for its job to complete.
func (s *site) run(schedule string) offstage.JobInfo {
	s.t.Helper()
	s.until("the schedule is there", func() bool {
		_, err := s.client.Schedule(s.t.Context(), schedule)
		return err == nil
	})
	got := s.send(s.request(http.MethodPost, "/schedules/"+schedule+"/run", nil, "Accept", "application/json"))
	if got.status != http.StatusAccepted {
		s.t.Fatalf("run is answered with %d %s", got.status, got.body)
	}
	return s.completed(s.awaitState(got.header.Get("Location"), offstage.Completed).ID)
}

func (s *site) completed(id offstage.ID) offstage.JobInfo {
	s.t.Helper()
	job, err := s.client.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return job.JobInfo
}

// The digest is in the inbox, with what has happened.
func TestDigest(t *testing.T) {
	onBothStores(t, func(t *testing.T, s *site) {
		s.awaitState(s.upload("prüfstand <3>.csv", readings(10)).header.Get("Location"), offstage.Completed)
		s.run(digestSchedule)
		s.run(digestSchedule)
		mails, err := s.tables.mails(t.Context(), 10)
		if err != nil || len(mails) != 2 {
			t.Fatalf("the inbox has %+v, %v", mails, err)
		}
		m := mails[1]
		if m.Subject != "Digest: 1 job, 0 failed" || m.From != mailFrom || m.To != mailTo {
			t.Errorf("the mail is %+v", m)
		}
		for _, line := range []string{"Reports: 1 (1 completed)\n", "\n- Report on prüfstand <3>.csv: completed", "Bills: 0\n"} {
			if !strings.Contains(m.Text, line) {
				t.Errorf("the mail does not say %q: %s", line, m.Text)
			}
		}
		if page := s.get("/inbox").body; strings.Count(page, `class="card mail"`) != 2 || !strings.Contains(page, "prüfstand &lt;3&gt;.csv") {
			t.Errorf("the inbox shows %s", page)
		}
	})
}

// A digest whose mail server fails is sent later: once, with the text that was
// written first.
func TestDigestIsSentLater(t *testing.T) {
	onBothStores(t, func(t *testing.T, s *site) {
		service, err := newService(t.Context(), Config{Store: s.store, Tables: s.tables, Dir: s.dir}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		away := listen(t, "127.0.0.1:0")
		service.mailAddr = netip.MustParseAddrPort(away.Addr().String())
		if err := away.Close(); err != nil {
			t.Fatal(err)
		}
		receipt, err := s.client.Enqueue(t.Context(), SendDigest{})
		if err != nil {
			t.Fatal(err)
		}
		s.workUntil(receipt.ID, offstage.Retrying, service)
		if _, err := s.client.Enqueue(t.Context(), BillCustomer{Customer: "late"}, offstage.InQueue("nobody")); err != nil {
			t.Fatal(err)
		}
		startOn(t, s.dir, s.store, func(cfg *Config) { cfg.Role, cfg.Tables = RoleWorker, s.tables })
		if _, err := s.client.RunNow(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		s.until("the digest is sent", func() bool { return s.completed(receipt.ID).State == offstage.Completed })
		mails, err := s.tables.mails(t.Context(), 10)
		if err != nil || len(mails) != 1 || !strings.HasPrefix(mails[0].Subject, "Digest: 0 jobs") {
			t.Errorf("the inbox has %+v, %v; want one mail that knows of no job", mails, err)
		}
	}, withoutWorker)
}

// workUntil runs the service's digests until a job is in a state.
func (s *site) workUntil(id offstage.ID, state offstage.State, service *service) {
	s.t.Helper()
	w, err := worker.New(s.store, worker.Config{Logger: slog.New(slog.NewTextHandler(testLog{s.t}, nil))})
	if err != nil {
		s.t.Fatal(err)
	}
	worker.Handle(w, service.sendDigest)
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	s.until("the job is "+state.String(), func() bool { return s.completed(id).State == state })
	cancel()
	if err := <-ended; err != nil {
		s.t.Error(err)
	}
}

// The mail server takes what people send to it, keeps a mail once however often it
// is sent, and refuses what is no mail.
func TestInbox(t *testing.T) {
	onBothStores(t, func(t *testing.T, s *site) {
		_, rest, _ := strings.Cut(s.get("/inbox").body, "listens at <code>")
		addr, _, _ := strings.Cut(rest, "</code>")
		at := netip.MustParseAddrPort(addr)
		client, err := mail.NewClient(at.Addr().String(), mail.WithPort(int(at.Port())), mail.WithTLSPolicy(mail.NoTLS))
		if err != nil {
			t.Fatal(err)
		}
		m := mail.NewMsg()
		for _, err := range []error{m.From("ada@example.org"), m.To("bob@example.org", "eve@example.org")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		m.Subject("Grüße, <b>Ada</b>")
		m.SetMessageIDWithValue("one@example.org")
		m.SetBodyString(mail.TypeTextHTML, "<p>HTML</p>")
		m.AddAlternativeString(mail.TypeTextPlain, "plain ☃ text\n")
		for range 3 {
			if err := client.DialAndSendWithContext(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		m.SetMessageIDWithValue("two@example.org")
		m.SetBodyString(mail.TypeTextPlain, strings.Repeat("too long\n", maxMail/8))
		if err := client.DialAndSendWithContext(t.Context(), m); err == nil {
			t.Error("a mail of more than a MiB was taken")
		}
		mails, err := s.tables.mails(t.Context(), 10)
		if err != nil || len(mails) != 1 || mails[0].Subject != "Grüße, <b>Ada</b>" || mails[0].To != "bob@example.org, eve@example.org" ||
			strings.TrimSpace(mails[0].Text) != "plain ☃ text" {
			t.Errorf("the inbox has %+v, %v", mails, err)
		}
		if page := s.get("/inbox").body; strings.Contains(page, "<b>Ada") {
			t.Errorf("a mail writes into the page: %s", page)
		}
	}, withoutWorker)
}

// The nightly report has a line for each column of numbers of every upload, also of
// samples; what is gone or broken is counted, everything else is as it was, and no name is
// a formula to a spreadsheet.
func TestNightlyReport(t *testing.T) {
	onBothStores(t, func(t *testing.T, s *site) {
		wide := []byte{0xff, 0xfe}
		for _, unit := range utf16.Encode([]rune("größe;=1+1\n1,5;1\n2;2\n7;3\n")) {
			wide = append(wide, byte(unit), byte(unit>>8))
		}
		s.awaitState(s.upload("gone.csv", readings(3)).header.Get("Location"), offstage.Completed)
		if err := os.Remove(s.uploads()[0]); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]io.Reader{"ten.csv": readings(10), "@wide.csv": bytes.NewReader(wide)} {
			s.awaitState(s.upload(name, content).header.Get("Location"), offstage.Completed)
		}
		broken := s.upload("broken.csv", strings.NewReader("a,b\n"+strings.Repeat("1,2\n", 100)+"1,2,3\n"))
		s.awaitState(broken.header.Get("Location"), offstage.Failed)
		if _, err := s.client.Enqueue(t.Context(), BuildReport{Name: "a sample", Sample: 100}); err != nil {
			t.Fatal(err)
		}
		job := s.run(nightlySchedule)
		if got, want := string(job.Result), `"uploads":3,"gone":1,"broken":1,"rows":113,`; !strings.Contains(got, want) {
			t.Errorf("the result is %s, want %s", got, want)
		}
		page := s.get("/schedules").body
		before, _, _ := strings.Cut(page, `">Open the latest report<`)
		link := before[strings.LastIndex(before, `"`)+1:]
		if shown := s.get(link, "Accept", "text/html").body; !strings.Contains(shown, "3 uploads") || !strings.Contains(shown, "1 more are no longer here") {
			t.Errorf("the page of the report is %s", shown)
		}
		lines, err := csv.NewReader(strings.NewReader(s.get(s.file(link)).body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, line := range lines[1:] {
			columns = append(columns, line[0]+" "+line[3]+" "+line[4])
			if line[0] == "ten.csv" && strings.Join(line[2:], " ") != "10 value 10 55 1 10 5.5" {
				t.Errorf("the line of ten.csv is %q", line)
			}
		}
		if len(columns) != 5 || !slices.Contains(columns, "'@wide.csv '=1+1 3") {
			t.Errorf("the report has %q", columns)
		}
	})
}

// What the nightly report allocates does not grow with the size of the uploads.
func TestNightlyReportStreams(t *testing.T) {
	s := start(t)
	service, err := newService(t.Context(), Config{Store: s.store, Tables: s.tables, Dir: s.dir}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	allocated := func() (bytes uint64, rows int64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sum, err := service.readUploads(t.Context(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, sum.Rows
	}
	s.awaitState(s.upload("small.csv", readings(1000)).header.Get("Location"), offstage.Completed)
	small, few := allocated()
	s.awaitState(s.upload("large.csv", readings(1_000_000)).header.Get("Location"), offstage.Completed)
	large, many := allocated()
	if few != 1000 || many != 1_001_000 {
		t.Fatalf("%d and %d rows were read", few, many)
	}
	if large > small+8<<20 {
		t.Errorf("%d bytes were allocated for 1,000 rows, %d for a million more", small, large)
	}
}

// The search finds words of the name, the columns and the text, and what it is
// given cannot break it.
func TestSearch(t *testing.T) {
	onBothStores(t, func(t *testing.T, s *site) {
		s.awaitState(s.upload("Turbine <north>.csv", strings.NewReader("Drehzahl,remark\n1,the Grüne valve is stuck\n2,fine\n")).header.Get("Location"), offstage.Completed)
		s.awaitState(s.upload("pump.csv", strings.NewReader("pressure,remark\n1,fine\n")).header.Get("Location"), offstage.Completed)
		s.run(searchSchedule)
		for query, want := range map[string][]string{
			"turbine": {"Turbine <north>.csv"}, "drehzahl": {"Turbine <north>.csv"}, "grüne VALVE": {"Turbine <north>.csv"}, "fine": {"Turbine <north>.csv", "pump.csv"},
			"turb": {"Turbine <north>.csv"}, "fine pump": {"pump.csv"}, "valve pump": nil, "": nil, `"`: nil, `'`: nil, `pump" OR "x`: nil, `pump') | ('x`: nil, `\`: nil, "*": nil,
			"remark:* & !x": nil, "\x00pump": {"pump.csv"}, "NOT pump": nil,
		} {
			hits, err := s.tables.find(t.Context(), query, 10)
			if err != nil {
				t.Errorf("%q: %v", query, err)
			}
			var names []string
			for _, hit := range hits {
				names = append(names, hit.Name)
			}
			if len(names) != len(want) || len(want) == 1 && names[0] != want[0] {
				t.Errorf("%q finds %q, want %q", query, names, want)
			}
		}
		page := s.get("/search?q=valve").body
		if !strings.Contains(page, "Turbine &lt;north&gt;.csv</a>") || !strings.Contains(page, "<mark>valve</mark>") || !strings.Contains(page, "2 reports to be found.") {
			t.Errorf("the page shows %s", page)
		}
		if got := s.get("/search?q=" + strings.Repeat("x", 201)); got.status != http.StatusUnprocessableEntity {
			t.Errorf("a long query is answered with %d", got.status)
		}
		for _, job := range s.jobs("build_report") {
			s.press("/jobs/"+job.ID.String()+"/delete", nil)
		}
		if hits, err := s.tables.find(t.Context(), "fine", 10); err != nil || len(hits) > 0 {
			t.Errorf("after the jobs were deleted the search finds %v, %v", hits, err)
		}
	})
}

// Several who refresh the index at once index every report once, what was noted
// again is found anew, and what is gone is taken out.
func TestRefreshTwice(t *testing.T) {
	onBothStores(t, func(t *testing.T, s *site) {
		const reports = 250
		for job := range reports {
			if err := s.tables.noteReport(t.Context(), offstage.ID(1_000_000+job), fmt.Sprintf("upload%d.csv", job), "old words"); err != nil {
				t.Fatal(err)
			}
		}
		indexed := make([]int, 4)
		var group sync.WaitGroup
		for i := range indexed {
			group.Go(func() {
				for {
					n, err := s.tables.refreshSome(t.Context(), 20)
					if err != nil {
						t.Error(err)
					}
					if indexed[i] += n; n == 0 {
						return
					}
				}
			})
		}
		group.Wait()
		if sum := indexed[0] + indexed[1] + indexed[2] + indexed[3]; sum != reports {
			t.Errorf("%v were indexed, want %d", indexed, reports)
		}
		if hits, err := s.tables.find(t.Context(), "old", 1000); err != nil || len(hits) != reports {
			t.Errorf("the search finds %d, %v", len(hits), err)
		}
		if err := s.tables.noteReport(t.Context(), 1_000_007, "upload7.csv", "new words"); err != nil {
			t.Fatal(err)
		}
		if all, fresh, err := s.tables.countReports(t.Context()); all != reports || fresh != 1 || err != nil {
			t.Errorf("%d reports, %d not indexed, %v", all, fresh, err)
		}
		if n, err := s.tables.refreshSome(t.Context(), 20); n != 1 || err != nil {
			t.Errorf("%d were indexed, %v", n, err)
		}
		if hits, err := s.tables.find(t.Context(), "new", 10); err != nil || len(hits) != 1 || hits[0].Job != 1_000_007 {
			t.Errorf("the search finds %v, %v", hits, err)
		}
		if hits, err := s.tables.find(t.Context(), "old", 1000); err != nil || len(hits) != reports-1 {
			t.Errorf("the search finds %d by what they had, %v", len(hits), err)
		}
		startOn(t, s.dir, s.store, func(cfg *Config) { cfg.Role, cfg.Tables = RoleWorker, s.tables })
		s.run(searchSchedule)
		if all, _, err := s.tables.countReports(t.Context()); all != 0 || err != nil {
			t.Errorf("%d reports of jobs that are gone are left, %v", all, err)
		}
	}, withoutWorker)
}
