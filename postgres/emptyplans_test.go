package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage/internal/pgtest"
)

// short are the tables that have few rows: as many as there are names, processes,
// schedules, batches under way and cancels that are wanted. They may be read whole.
var short = []string{"batch", "beat", "cancel", "herald", "kind", "leader", "queue", "queue_stat", "schedule", "setting", "worker"}

// walks are the statements that walk through a long table, each with the table, and
// why they may.
var walks = map[string]string{
	// There are as many claims as fetches under way, and no index finds one by its jobs.
	"infoSQL: claim":         "once, for up to 1,000 jobs: their runs",
	"lookSQL: claim":         "as infoSQL",
	"listRunning: claim":     "to list what they hold",
	"runningSQL: claim":      "to count what they hold",
	"orphansSQL: claim":      "a rescan, for workers that nobody knows",
	"namedByClaimSQL: claim": "a job that an operator deletes",
	"pruneSQL: claim":        "once for a page: what they name stays",
	"pruneOrphansSQL: claim": "as pruneSQL",

	"findsSQL of unblock: parked": "up to the first row, of those alone that wait for a handler",
	"quietSQL: scheduled":         "up to the first row, as the count that follows it",
}

// composed are the statements that are made when the program starts, by name.
func composed() map[string]string {
	all := map[string]string{
		"promoteSQL": promoteSQL, "changedSQL": changedSQL, "ageSQL": ageSQL, "quietSQL": anySQL(quietSQL), "lookSQL": lookSQL,
		"listAll": listAll, "listReady": listReady, "listScheduled": listScheduled, "listRetrying": listRetrying, "listBlocked": listBlocked,
		"listRunning": listRunning, "listCompleted": listCompleted, "listFailed": listFailed, "listCancelled": listCancelled,
	}
	for chore, query := range findsSQL {
		all["findsSQL of "+chore.String()] = anySQL(query)
	}
	return all
}

// parts are the texts that are no statements, and why they need not be: most are
// parts of one.
var parts = map[string]string{
	"recordHead":  "of recordSQL",
	"recordTail":  "of recordSQL",
	"rememberSQL": "of rememberMineSQL",
	"latestSQL":   "of pruneSQL",
	"stagedSQL":   "of stateSQL",
	"readySQL":    "of ageSQL",
	"placeSQL":    "of stateSQL",
	"led":         "of promoteSQL",
	"anySQL":      "around quietSQL",
	"listSQL":     "of listAll",
	"notStaged":   "of listAll",
	"byEnd":       "of listFailed",
	"byStart":     "of listReady",
	"findsSQL":    "many, of which each is looked at",

	"createLedgerSQL": "makes the schema's ledger",
	"version":         "reads the ledger, which has a row for each migration",
	"migrateTo":       "writes the ledger",
	"MigrationSQL":    "makes and writes the ledger",
	"inSchema":        "replaces the schema's name",
}

// statements returns all statements of the package by name. A text that names a
// schema and is in none of the lists is a failure.
func statements(t *testing.T) map[string]string {
	t.Helper()
	all := composed()
	known := func(name string) bool { return all[name] != "" || parts[name] != "" }
	files, set := sources(t)
	unchecked := types.Config{IgnoreFuncBodies: true, Error: func(error) {}} // what is imported is not known
	pkg, _ := unchecked.Check("postgres", set, files, nil)
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		switch {
		case !ok || known(name):
		case c.Val().Kind() == constant.Unknown && strings.HasSuffix(name, "SQL"):
			t.Errorf("the value of %s is not known", name)
		case c.Val().Kind() == constant.String && strings.Contains(constant.StringVal(c.Val()), "offstage."):
			all[name] = constant.StringVal(c.Val())
		}
	}
	for _, file := range files {
		for _, name := range makers(file) {
			if !known(name) {
				t.Errorf("%s makes statements that are not looked at", name)
			}
		}
	}
	return all
}

func sources(t *testing.T) (files []*ast.File, set *token.FileSet) {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set = token.NewFileSet()
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files, set
}

// makers are the functions and variables of a file with texts that name a schema,
// and all variables that are called SQL.
func makers(file *ast.File) (names []string) {
	note := func(name string, node ast.Node) {
		ast.Inspect(node, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if ok && strings.Contains(text.Value, "offstage.") || n == node && strings.HasSuffix(name, "SQL") {
				names = append(names, name)
			}
			return true
		})
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			note(d.Name.Name, d)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
					for i := range v.Values {
						note(v.Names[i].Name, v.Values[i])
					}
				}
			}
		}
	}
	return names
}

// access is a node of a plan, which may read a table.
type access struct {
	Node  string   `json:"Node Type"`
	Table string   `json:"Relation Name"`
	Index string   `json:"Index Name"`
	Cond  string   `json:"Index Cond"`
	Plans []access `json:"Plans"`
}

// walked adds to found the long tables of which a plan may read more than what it
// looks for: it has no condition on the first column of an index.
func (a *access) walked(first map[string]*regexp.Regexp, found map[string]string) {
	bounded := a.Index != "" && first[a.Index].MatchString(a.Cond) || a.Node == "Tid Scan" || a.Node == "ModifyTable"
	if a.Table != "" && !bounded && !slices.Contains(short, a.Table) {
		found[a.Table] = strings.TrimSpace(fmt.Sprint(a.Node, " ", a.Index, " ", a.Cond))
	}
	for i := range a.Plans {
		a.Plans[i].walked(first, found)
	}
}

// access returns the plan of what is prepared.
func (s *stand) access() *access {
	s.Helper()
	var parameters int
	err := s.other.QueryRow(s.Context(), "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'").Scan(&parameters)
	if err != nil {
		s.Fatal(err)
	}
	call := "EXPLAIN (FORMAT json) EXECUTE explained"
	if parameters > 0 {
		call += "(NULL" + strings.Repeat(", NULL", parameters-1) + ")"
	}
	var text string
	if err := s.other.QueryRow(s.Context(), call, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		s.Fatal(err)
	}
	var explained []struct{ Plan access }
	if err := json.Unmarshal([]byte(text), &explained); err != nil {
		s.Fatal(err)
	}
	return &explained[0].Plan
}

// firstColumns are patterns of the first columns of all indexes.
func (s *stand) firstColumns() map[string]*regexp.Regexp {
	s.Helper()
	rows, err := s.other.Query(s.Context(), `SELECT i.indexrelid::regclass::name, a.attname FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = 1`)
	if err != nil {
		s.Fatal(err)
	}
	patterns := map[string]*regexp.Regexp{}
	var index, column string
	_, err = pgx.ForEachRow(rows, []any{&index, &column}, func() error {
		patterns[strings.TrimPrefix(index, "offstage.")] = regexp.MustCompile(`\b` + regexp.QuoteMeta(column) + `\b`)
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return patterns
}

// A plan is made once and kept. It may have been made while tables were empty, as
// those of the queue mostly are: then all ways to read them cost the same. When they
// are long, or a held snapshot keeps what has gone, it must not walk through them.
func TestPlansForEmptyTablesServe(t *testing.T) {
	all, allowed := statements(t), map[string]bool{}
	for _, history := range []int{0, 5000} {
		t.Run(fmt.Sprintf("with %d ended jobs", history), func(t *testing.T) {
			pgtest.Each(t, func(t *testing.T, db *pgtest.Database) {
				s := standOn(t, db.URL, 1)
				s.pretend(history)
				first := s.firstColumns()
				for _, name := range slices.Sorted(maps.Keys(all)) {
					forget := s.prepare(all[name])
					found := map[string]string{}
					s.access().walked(first, found)
					forget()
					for _, table := range slices.Sorted(maps.Keys(found)) {
						if what := name + ": " + table; walks[what] != "" {
							allowed[what] = true
						} else {
							t.Errorf("%s walks through %s: %s", name, table, found[table])
						}
					}
				}
			})
		})
	}
	for what := range walks {
		if len(allowed) > 0 && !allowed[what] { // else there is no server
			t.Errorf("%s is not walked: it need not be allowed", what)
		}
	}
}

// pretend leaves so many jobs that have ended, and the server with the knowledge that
// all else is empty.
func (s *stand) pretend(history int) {
	s.Helper()
	_, err1 := s.other.Exec(s.Context(), s.sql(`INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args)
SELECT n, now(), now(), 0, 0, 1, 1, 0, 5, '{}' FROM generate_series(1, $1::int) n`), history)
	_, err2 := s.other.Exec(s.Context(), s.sql(`INSERT INTO offstage.attempt (job, worker, seq, finished_at, run, outcome, next)
SELECT n, 1, n, now(), 1, 1, 6 FROM generate_series(1, $1::int) n`), history)
	_, err3 := s.other.Exec(s.Context(), "VACUUM ANALYZE")
	if err := errors.Join(err1, err2, err3); err != nil {
		s.Fatal(err)
	}
}
