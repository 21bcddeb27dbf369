package offstage_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// FuzzParse gives any text to what reads ids and names: each ends in an
// InvalidError, or in something that writes the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "1", "9007199254740991", "9007199254740992", "+7", "007", "ready", "completed", "state(9)", "lost"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var invalid *offstage.InvalidError
		id, err := offstage.ParseID(text)
		if again, e := offstage.ParseID(id.String()); err == nil && (e != nil || again != id) {
			t.Errorf("id %q is %d, which is read as %d, %v", text, id, again, e)
		}
		if err != nil && !errors.As(err, &invalid) {
			t.Errorf("id %q: %v", text, err)
		}
		state, err := offstage.ParseState(text)
		if err == nil && state.String() != text || err != nil && !errors.As(err, &invalid) {
			t.Errorf("state %q is %s, %v", text, state, err)
		}
		var outcome offstage.Outcome
		if err := outcome.UnmarshalText([]byte(text)); err == nil && outcome.String() != text || err != nil && !errors.As(err, &invalid) {
			t.Errorf("outcome %q is %s, %v", text, outcome, err)
		}
	})
}
