// Package pgtest gives tests a real PostgreSQL: a new, empty database for each
// test, on servers that the test binary starts and ends itself.
//
// A package that uses it hands its tests over:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// and then calls [Each] for what must hold on every installed version, [Open]
// for what needs one, and [Start] for a server of its own to stop and kill.
//
// Where PostgreSQL or PgBouncer is not installed, the test is skipped with one
// line that says so; where the environment has CI=true, that is a failure. The
// variable OFFSTAGE_PG_VERSIONS=15,18 demands these versions: then [Each] runs
// on them and no others, and one that is missing is a failure. Where the
// binaries are looked for is said at [pgserver.Find].
package pgtest
