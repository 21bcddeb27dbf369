// Package offstage runs the background side of a web application: work that
// happens offstage while the user watches the stage.
//
// A [Client] enqueues jobs into a [Store] and lets people look at them and
// operate on them. Package worker runs the jobs. A store is an embedded SQLite
// file (package sqlite), PostgreSQL (package postgres) or memory (package
// offstagetest); all keep one contract, which package storetest proves.
//
// # The life of a job
//
//	            ┌───────────── retrying ◄──────────┐ error, attempts left
//	            ▼                                  │
//	scheduled ─► ready ─► running ─────────────────┼─► completed
//	            ▲   ▲       │  │                   ├─► failed     (gave up: needs a person)
//	            │   └───────┘  └─► blocked         └─► cancelled
//	            │ interrupted,       │ waits for something other than time:
//	            │ worker lost        │ a handler, a resumed kind, a signal, a child
//	            └────────────────────┘
//
// Every start of a job is an attempt with a run number of its own, and every
// attempt ends in exactly one recorded [Outcome]. A job may start more than once
// (its worker can die), but it finishes once: a result counts only while the
// store still holds the claim under which the attempt was started.
//
// # Data flows one way
//
//	Client → Store.Insert | Store.Claim → fetch → execute → record → Store.Finish
//
// The root package imports only the standard library. Nothing in it starts a
// goroutine, except [Receipt.Wait] for as long as somebody waits.
package offstage
