package offstage_test

import (
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// A refused change says what to do, whether or not the store knows more.
func TestStateErrorsSayWhatToDo(t *testing.T) {
	for _, verb := range []offstage.Verb{
		offstage.VerbCancel, offstage.VerbRetry, offstage.VerbDelete, offstage.VerbRunNow, offstage.VerbReschedule, offstage.VerbPrioritize,
	} {
		err := &offstage.StateError{ID: 7, State: offstage.Running, Verb: verb}
		problem, hint, found := strings.Cut(err.Error(), "; ")
		if want := "offstage: job 7 is running: cannot " + string(verb) + " it"; problem != want || !found || hint == "" {
			t.Errorf("%q, want %q and a hint", err, want)
		}
		err.Hint = "ask Ada"
		if text := err.Error(); !strings.HasSuffix(text, "it; ask Ada") {
			t.Errorf("%q does not end with the store's hint", text)
		}
	}
}
