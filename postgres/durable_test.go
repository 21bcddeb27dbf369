package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// noteSyncSQL has each commit that wrote to a table note how it waits for the disk.
const noteSyncSQL = `CREATE TABLE synced (by text);
CREATE FUNCTION note_sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO public.synced VALUES (TG_TABLE_NAME || ' ' || current_setting('synchronous_commit'));
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON offstage.cancel DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_sync();
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON offstage.schedule DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_sync();
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON offstage.job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_sync()`

// What was acknowledged survives the server's sudden end, also where the same
// transaction tells others of it: a wanted cancel, a schedule, a job.
func TestWhatIsAcknowledgedIsOnDisk(t *testing.T) {
	s := newStand(t)
	if _, err := s.other.Exec(t.Context(), noteSyncSQL); err != nil {
		t.Fatal(err)
	}
	id := s.insert(plain())
	if got := s.claim(false); len(got) != 1 || got[0] != id {
		t.Fatalf("claimed %v; want %d", got, id)
	}
	if state, err := s.Apply(t.Context(), offstage.Change{Verb: offstage.VerbCancel, Job: id}); err != nil || state != offstage.Running {
		t.Fatalf("cancel: %v, %v", state, err)
	}
	err := offstage.NewClient(s.Store).SaveSchedule(t.Context(), offstage.Schedule{
		Name: "nightly", Expression: "0 4 * * *", Zone: "UTC",
		Job: offstage.TickJob{Kind: "echo", Queue: "default", Priority: 5, Args: []byte(`{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.other.Query(t.Context(), `SELECT by FROM public.synced`)
	if err != nil {
		t.Fatal(err)
	}
	noted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"job on": true, "cancel on": true, "schedule on": true}
	for _, by := range noted {
		if !want[by] {
			t.Errorf("a commit that is acknowledged does not wait for the disk: %s", by)
		}
		delete(want, by)
	}
	if len(want) > 0 {
		t.Errorf("noted %v; the test proves nothing of %v", noted, want)
	}
}
