// Package pgserver runs throw-away PostgreSQL servers, and PgBouncer before
// them, from the binaries that are installed on this machine.
//
// A [Cluster] has a temporary directory and a loopback port of its own and can
// be stopped, killed with all its processes, and started again on the same
// port with the same data. The servers listen on 127.0.0.1 only and trust every
// local user: nothing of value belongs into them. Run by root, they run as the
// OS user postgres, since PostgreSQL and PgBouncer refuse to run as root.
//
// No process outlives the one that started it: on Linux the kernel signals the
// servers when their parent dies, however it dies. Elsewhere only [Cluster.Close]
// ends them.
//
// Tests use package pgtest, which adds databases per test and the rules for
// skipping; this package does not import testing, so that programs can use it.
package pgserver
