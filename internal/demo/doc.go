// Package demo is a small telemetry service that shows each situation for which
// background jobs exist. It is what `offstage demo` runs, and it is written as an
// application would be: it sees Offstage through its public API only.
//
//   - A slow task in a request: an uploaded CSV is turned into a report while its
//     user watches (upload.go, report.go, status.go), and is mailed if he has closed
//     the page (mailreport.go).
//   - A third party that is unreliable: commands to devices that are slow and
//     often down, each applied exactly once, and that call back when they are done
//     (devices.go, command.go, device/).
//   - Work that goes before other work: ten urgent jobs behind two thousand that
//     are not (priorities.go).
//   - Scheduled work (schedules.go): old uploads are cleaned up (cleanup.go), what
//     has happened is mailed to an inbox (digest.go, mailserver.go, inbox.go), all
//     uploads are reported on at night (nightly.go), a search index is kept fresh
//     (search.go, index.go), and each month is billed once (month.go).
//   - A page of jobs for whoever operates it (jobs.go, job.go).
//
// Web and worker may run in one process or in several that share a store and a
// directory; [Role] says which part a process plays.
package demo
