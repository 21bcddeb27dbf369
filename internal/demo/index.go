package demo

import (
	"context"
	"database/sql"
	"strings"
	"unicode"

	"github.com/offstagehq/offstage"
)

// What the search finds is in two tables: offstage_demo_report has what is to be
// found, written when a report is ready; offstage_demo_words is the full-text index
// over it, in the words of the database, brought up to date by a scheduled job.
const (
	sqlMakeReports = `CREATE TABLE IF NOT EXISTS offstage_demo_report (job BIGINT PRIMARY KEY, name TEXT NOT NULL, head TEXT NOT NULL, indexed SMALLINT NOT NULL);
CREATE INDEX IF NOT EXISTS offstage_demo_report_new ON offstage_demo_report (job) WHERE indexed = 0`
	sqlNoteReport = `INSERT INTO offstage_demo_report (job, name, head, indexed) VALUES ($1, $2, $3, 0)
ON CONFLICT (job) DO UPDATE SET name = excluded.name, head = excluded.head, indexed = 0`
	sqlSetIndexed    = `UPDATE offstage_demo_report SET indexed = 1 WHERE job = $1`
	sqlOldestReports = `SELECT job FROM offstage_demo_report ORDER BY job LIMIT $1`
	sqlForgetReport  = `DELETE FROM offstage_demo_report WHERE job = $1`
	sqlCountReports  = `SELECT count(*), coalesce(sum(1 - indexed), 0) FROM offstage_demo_report`
)

// index is a full-text index in the words of one database.
type index struct {
	make   string                      // creates it
	fresh  string                      // reports that are to be indexed: at most $1, locked
	put    string                      // indexes report $1, anew if it is there
	forget string                      // takes report $1 out
	find   string                      // the best $2 reports for the query $1: job, name, where it was found
	query  func(words []string) string // what finds all of the words, the last as a beginning
}

// Marks round the words that were found; no text has control characters.
const hitBegin, hitEnd = "\x02", "\x03"

// sqliteIndex is FTS5: https://sqlite.org/fts5.html.
var sqliteIndex = index{
	make:   `CREATE VIRTUAL TABLE IF NOT EXISTS offstage_demo_words USING fts5(name, head, tokenize = 'unicode61')`,
	fresh:  `SELECT job FROM offstage_demo_report WHERE indexed = 0 ORDER BY job LIMIT $1`,
	put:    `INSERT OR REPLACE INTO offstage_demo_words (rowid, name, head) SELECT job, name, head FROM offstage_demo_report WHERE job = $1`,
	forget: `DELETE FROM offstage_demo_words WHERE rowid = $1`,
	find: `SELECT rowid, name, snippet(offstage_demo_words, -1, char(2), char(3), '…', 16) FROM offstage_demo_words
WHERE offstage_demo_words MATCH $1 ORDER BY rank, rowid DESC LIMIT $2`,
	query: func(words []string) string { return `"` + strings.Join(words, `" "`) + `"*` },
}

// postgresIndex is a tsvector: https://www.postgresql.org/docs/current/textsearch.html.
var postgresIndex = index{
	make: `CREATE TABLE IF NOT EXISTS offstage_demo_words (job BIGINT PRIMARY KEY, words TSVECTOR NOT NULL);
CREATE INDEX IF NOT EXISTS offstage_demo_words_gin ON offstage_demo_words USING gin (words)`,
	fresh: `SELECT job FROM offstage_demo_report WHERE indexed = 0 ORDER BY job LIMIT $1 FOR UPDATE SKIP LOCKED`,
	put: `INSERT INTO offstage_demo_words (job, words)
SELECT job, setweight(to_tsvector('simple', name), 'A') || to_tsvector('simple', head) FROM offstage_demo_report WHERE job = $1
ON CONFLICT (job) DO UPDATE SET words = excluded.words`,
	forget: `DELETE FROM offstage_demo_words WHERE job = $1`,
	find: `SELECT job, name, ts_headline('simple', name || E'\n' || head, query, 'StartSel="' || chr(2) || '", StopSel="' || chr(3) || '", MaxWords=16, MinWords=8, HighlightAll=false')
FROM offstage_demo_words JOIN offstage_demo_report USING (job), to_tsquery('simple', $1) query
WHERE words @@ query ORDER BY ts_rank(words, query) DESC, job DESC LIMIT $2`,
	query: func(words []string) string { return `'` + strings.Join(words, `' & '`) + `':*` },
}

// noteReport notes what there is to be found of a report that is ready. The search
// finds it when the index has been refreshed. Again, it is noted again.
func (t *Tables) noteReport(ctx context.Context, job offstage.ID, name, head string) error {
	_, err := t.db.ExecContext(ctx, sqlNoteReport, int64(job), name, head)
	return err
}

// refreshSome indexes at most so many of the reports that are not indexed yet, in
// one transaction, and returns how many. Two who do so at once share the work.
func (t *Tables) refreshSome(ctx context.Context, limit int) (n int, err error) {
	err = t.write(ctx, func(tx *sql.Tx) error {
		fresh, err := jobsIn(tx.QueryContext(ctx, t.index.fresh, limit))
		for _, job := range fresh {
			for _, statement := range []string{t.index.put, sqlSetIndexed} {
				if err == nil {
					_, err = tx.ExecContext(ctx, statement, job)
				}
			}
		}
		n = len(fresh)
		return err
	})
	return n, err
}

// forgetReport takes a report out of the index. The report goes first: whoever
// indexes it just now has it locked, and what he indexed goes, too.
func (t *Tables) forgetReport(ctx context.Context, job offstage.ID) error {
	return t.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlForgetReport, int64(job))
		if err == nil {
			_, err = tx.ExecContext(ctx, t.index.forget, int64(job))
		}
		return err
	})
}

// oldestReports returns the reports that were noted first.
func (t *Tables) oldestReports(ctx context.Context, limit int) ([]int64, error) {
	return jobsIn(t.db.QueryContext(ctx, sqlOldestReports, limit))
}

// countReports returns how many reports there are to be found, and how many of
// them are not indexed yet.
func (t *Tables) countReports(ctx context.Context) (all, fresh int, err error) {
	err = t.db.QueryRowContext(ctx, sqlCountReports).Scan(&all, &fresh)
	return all, fresh, err
}

// found is a report that the search found.
type found struct {
	Job   offstage.ID
	Name  string
	Where []piece // some text round what was found
}

// piece is a part of a text that was looked for, or not.
type piece struct {
	Text string
	Hit  bool
}

// find returns the reports that have all words of a query, the best first. The last
// word may be a beginning.
func (t *Tables) find(ctx context.Context, query string, limit int) (all []found, err error) {
	words := strings.FieldsFunc(strings.ToValidUTF8(query, ""), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if len(words) == 0 {
		return nil, nil
	}
	err = t.each(ctx, func(rows *sql.Rows) error {
		var job int64
		var name, where string
		err := rows.Scan(&job, &name, &where)
		all = append(all, found{offstage.ID(job), name, pieces(where)})
		return err
	}, t.index.find, t.index.query(words), limit)
	return all, err
}

// pieces cuts a text at the marks of what was found.
func pieces(text string) (all []piece) {
	for text != "" {
		before, rest, marked := strings.Cut(text, hitBegin)
		hit, after, _ := strings.Cut(rest, hitEnd)
		if before != "" {
			all = append(all, piece{Text: before})
		}
		if marked {
			all = append(all, piece{hit, true})
		}
		text = after
	}
	return all
}

// jobsIn reads the one column of a query.
func jobsIn(rows *sql.Rows, err error) (jobs []int64, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what there is to say
	for rows.Next() {
		var job int64
		if err := rows.Scan(&job); err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, rows.Err()
}
