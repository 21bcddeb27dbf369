// Command chaos runs real processes, kills them, and proves that nothing was
// lost.
//
// Usage:
//
//	go run ./internal/chaos --store sqlite|postgres --kills N --for D --seed S [--faults list] [--json]
//	go run ./internal/chaos check DIR
//
// Several producers enqueue jobs of many kinds and several workers run them,
// each a process of its own, while faults strike by a plan that comes from the
// seed. All processes write what they see into files, outside of the database.
// At the end the faults are healed, everything has to come to its end within a
// bounded time, and the checker holds the files, and what the store lists,
// against the promises. It prints a report as JSON, and on standard error the
// history of each job for which a promise was broken; then it exits with 1, as it
// does when a fault that was asked for did not strike. With 2 it exits when the
// campaign itself could not be run.
//
// N counts kill -9 of workers and producers, unless the list of faults has none
// of these; then it counts all faults. With --dir the history is kept, and check
// reads it again. It needs Linux, and for postgres an installed PostgreSQL of
// which it runs a server of its own.
package main
