package pgtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/offstagehq/offstage/internal/pgserver"
)

// versionsEnv is the environment variable that demands versions.
const versionsEnv = "OFFSTAGE_PG_VERSIONS"

// installed asks the binaries once: they do not change while the tests run.
var installed = sync.OnceValue(pgserver.Find)

// versions returns the versions to test on, at least one, oldest first.
func versions(t testing.TB) []pgserver.Install {
	t.Helper()
	found, demanded := installed(), os.Getenv(versionsEnv)
	if demanded == "" {
		if len(found) == 0 {
			_, err := pgserver.Newest()
			missing(t, err)
		}
		return found
	}
	chosen, err := choose(found, demanded)
	if err != nil {
		t.Fatalf("%s: %v", versionsEnv, err)
	}
	return chosen
}

// choose picks the demanded major versions, "15,18", out of the found ones and
// keeps their order.
func choose(found []pgserver.Install, demanded string) ([]pgserver.Install, error) {
	wanted := map[int]bool{}
	for text := range strings.SplitSeq(demanded, ",") {
		major, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is not a list of major versions like 15,18", demanded)
		}
		wanted[major] = true
	}
	var chosen []pgserver.Install
	for _, install := range found {
		if wanted[install.Major] {
			chosen = append(chosen, install)
			delete(wanted, install.Major)
		}
	}
	for major := range wanted {
		return nil, fmt.Errorf("PostgreSQL %d is demanded, but only these are installed: %v", major, found)
	}
	return chosen, nil
}

// missing skips the test, or fails it where nothing may be skipped.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v, and CI=true allows no skipping", err)
	}
	t.Skip(err)
}
