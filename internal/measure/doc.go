// Command measure holds the figures of the core against the limits that it
// promises, with real processes on a real store.
//
// Usage:
//
//	go run ./internal/measure --store sqlite|postgres [CASE...]
//
// Without cases it takes them all, which is a quarter of an hour; --help lists
// them with their limits. It prints a line for each figure, with its limit where
// there is one, and exits with 1 if one is missed.
//
// The figures are times of this machine and mean something only when nothing
// else runs on it; so no test of the tree depends on them. It needs Linux, and
// for postgres an installed PostgreSQL, of which it runs a server of its own
// with fsync on.
package main
