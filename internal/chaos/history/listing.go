package history

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/offstagehq/offstage"
)

// Listing is what the store says at the end, when nothing runs any more, and
// what stands in the application's own tables.
type Listing struct {
	Jobs []Job `json:"jobs"`
	// Pairs are the keys of jobs beside which the enqueuer's transaction wrote
	// a row, by how many rows there are.
	Pairs map[string]int `json:"pairs"`
	// Effects are the jobs beside whose completion the handler's transaction
	// wrote a row, by how many rows there are.
	Effects map[offstage.ID]int `json:"effects"`
}

// Job is a job as the store lists it.
type Job struct {
	ID     offstage.ID    `json:"id"`
	Kind   string         `json:"kind"`
	Key    string         `json:"k"`
	Unique string         `json:"u,omitempty"`
	State  offstage.State `json:"state"`
	// Schedule enqueued it at its Tick; "" is none.
	Schedule string    `json:"schedule,omitempty"`
	Tick     time.Time `json:"tick,omitzero"`
	Run      int       `json:"r"`
	Errors   int       `json:"errors,omitempty"`
	Lost     int       `json:"lost,omitempty"`
	// Attempts are its history. A job that completed in its first run has none
	// here: its history is that.
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Attempt is one entry of a job's history.
type Attempt struct {
	Run     int              `json:"r"`
	Outcome offstage.Outcome `json:"outcome"`
	Next    offstage.State   `json:"next"`
	Error   string           `json:"error,omitempty"`
}

const listingFile = "listing.json"

// Save writes the listing into a directory.
func (l *Listing) Save(dir string) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, listingFile), text, 0o600)
}

// LoadListing reads a listing from a directory.
func LoadListing(dir string) (*Listing, error) {
	text, err := os.ReadFile(filepath.Join(dir, listingFile))
	if err != nil {
		return nil, err
	}
	l := &Listing{}
	return l, json.Unmarshal(text, l)
}
