// Package builtin has the two kinds that the program itself can run, command and
// http, so that it can stand in for a cron daemon. A file says what is allowed; a
// job only names it. Without such a file neither kind has a handler.
package builtin
