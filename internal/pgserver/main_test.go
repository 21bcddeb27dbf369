package pgserver_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// orphanEnv makes this test binary a program that starts a cluster, says so,
// and then waits to be killed.
const orphanEnv = "PGSERVER_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		waitToBeKilled()
	}
	pgtest.Main(m)
}

func waitToBeKilled() {
	cluster, err := pgserver.Start(context.Background(), pgserver.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(cluster.URL("postgres"))
	select {}
}
