package builtin_test

import (
	"testing"

	"github.com/offstagehq/offstage/internal/builtin"
)

// FuzzFile reads any text as the file of “offstage worker”: it ends in an error, or
// in schedules that a store takes.
func FuzzFile(f *testing.F) {
	f.Add(whole)
	f.Add("[schedules.a]\nexpression = \"@daily\"\nkind = \"x\"\npriority = 10\njitter = \"1000000h\"\nstart = 0001-01-01T00:00:00Z")
	f.Add("[commands.a]\nargv = [\"/\\u0000\"]\n[destinations.\"\"]\nurl = \"http://[::1\"")
	f.Add("[schedules.a]\nexpression = \"every 1s\"\nkind = \"x\"\nargs = { a = nan, b = inf, c = 07:32:00 }")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := builtin.Read("fuzz.toml", []byte(text))
		if err != nil {
			return
		}
		schedules, err := config.All()
		if err != nil {
			return
		}
		for _, s := range schedules {
			if err := s.Check(); err != nil {
				t.Errorf("%q makes a schedule that cannot be kept: %v", text, err)
			}
		}
	})
}
