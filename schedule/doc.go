// Package schedule turns an expression, in cron's notation or in plain language,
// into its ticks: the nominal times at which something is due.
//
//	e, err := schedule.Parse("every monday and thursday at 18:15 in Europe/Berlin")
//	next, ok := e.Next(time.Now())
//
// It is pure: it reads no clock, keeps no state, and starts nothing. The same
// expression, options and time zone data give the same ticks on every machine.
//
// # Forms
//
// There are three: cron ("30 4 * * MON-FRI"), intervals ("every 40m", "every 2
// weeks") and plain language ("first monday of the month at 9:00"). The page
// docs/schedules.md lists all of them. Whatever is not understood is a
// [ParseError] that points at the word; nothing is guessed.
//
// # Time zones
//
// An expression may name its zone; else that of [In] counts, else UTC. The
// package embeds the IANA zone data (time/tzdata), so that a zone is found on
// machines and in containers that have none. That adds 450 KB to a program; where
// the system has data of its own, these come first, as everywhere in Go.
//
// # Clock changes
//
// A cron expression whose hour field begins with * follows elapsed time: every
// real minute that matches is a tick. All other calendar expressions follow the
// clock on the wall: a time that is skipped ticks at the first instant after
// the gap, a time that comes twice ticks the first time, and times that fall on
// one instant are one tick. Intervals of hours, minutes and seconds ignore all
// clock changes; those of days and longer keep their time on the wall.
//
// # Cost
//
// An expression has at most 512 bytes, and ticks lie in the years 1 to 9999, so
// that every call ends. Parse takes microseconds, Next and Prev less than one in
// the usual case.
package schedule
