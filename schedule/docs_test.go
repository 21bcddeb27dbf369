package schedule_test

import (
	"os"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/schedule"
)

// TestDocumentedForms parses each expression in the tables of docs/schedules.md
// and expects the page to say what the expression itself does.
func TestDocumentedForms(t *testing.T) {
	page, err := os.ReadFile("../docs/schedules.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		text, isRow := strings.CutPrefix(cells[0], "| `")
		if !isRow || len(cells) != 2 {
			continue
		}
		rows++
		text, said := strings.TrimSuffix(text, "`"), strings.TrimSuffix(cells[1], " |")
		e, err := schedule.Parse(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Explain() != said {
			t.Errorf("the page says of %s:\n %s\nthe expression says:\n %s", text, said, e.Explain())
		}
	}
	if rows < 50 {
		t.Errorf("the page has only %d expressions", rows)
	}
}
