// Package status lets the users of a web application follow the jobs that their
// requests begin: the request is answered at once, its user sees the rest.
//
//	flows, err := status.New(ctx, client, status.Config{})
//	mux.Handle("GET /status/", flows)
//	mux.Handle("POST /status/", flows)
//	mux.Handle("POST /reports", flows.Once(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		flows.Accept(w, r, BuildReport{Month: r.PostFormValue("month")})
//	})))
//
// [Flows.Accept] enqueues the job and answers 202 with the address of a status
// resource, or, when the client prefers to wait a little (RFC 7240), 200 with the
// result. [Flows.Once] makes requests with an Idempotency-Key safe to repeat. A
// [Flows] is the handler of the status resources: their addresses are signed,
// expire, and show one job each, as JSON, as a page, and as a stream of events.
//
// What a status resource shows is fit for the user: of a job's errors only those
// that [Tell] made, and neither arguments nor logs.
package status
