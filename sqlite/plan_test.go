package sqlite

import (
	"regexp"
	"strings"
	"testing"
)

// walks is a step of a plan that meets rows which nobody asked for, or sorts.
var walks = regexp.MustCompile(`^SCAN \w|AUTOMATIC|TEMP B-TREE`)

// A ready row is found by its key, and rows in their order are read along it: no
// statement walks through what else is ready.
func TestReadyRowsAreFoundByKeys(t *testing.T) {
	const (
		one  = " USING PRIMARY KEY (queue=? AND priority=? AND band=? AND seq=?)"
		some = " USING PRIMARY KEY (queue=? AND (priority,band,seq)"
	)
	s := openFile(t)
	for query, has := range map[string]string{
		sqlInfoOf:        "SEARCH r" + one,
		sqlSight:         "SEARCH r" + one,
		sqlStanding:      "SEARCH r" + one,
		sqlUnready:       "SEARCH offstage_ready" + one,
		sqlReadyPriority: "SEARCH offstage_ready" + one,
		sqlAhead:         "SEARCH r" + some + "<(?,?,?))",
		sqlListReady:     "SEARCH w" + some + ">(?,?,?))",
		sqlTakeReady:     "SEARCH offstage_ready" + some + "<(?,?,?))",
		sqlFirstReady:    "SEARCH r USING PRIMARY KEY (queue=?)",
		sqlLine:          "SEARCH offstage_ready USING PRIMARY KEY (queue=?)",
	} {
		var plan []string
		onWriter(t, s, func(c *conn) {
			for r, err := range c.rows("EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...) {
				if err != nil {
					t.Fatal(err)
				}
				if plan = append(plan, r.text(3)); walks.MatchString(r.text(3)) {
					t.Errorf("%q is a step of\n%s", r.text(3), query)
				}
			}
		})
		if text := strings.Join(plan, "\n"); !strings.Contains(text, has) {
			t.Errorf("no %q in the plan of\n%s\nwhich is\n%s", has, query, text)
		}
	}
}
