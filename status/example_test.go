package status_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

// Invite is a job that a request begins.
type Invite struct {
	Email string `json:"email"`
}

// Kind returns "invite".
func (Invite) Kind() string { return "invite" }

// app serves an application with a route that begins a job, and its statuses.
func app(ctx context.Context, client *offstage.Client, cfg status.Config) *httptest.Server {
	flows, err := status.New(ctx, client, cfg)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/status/", flows)
	mux.Handle("POST /invites", flows.Once(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flows.Accept(w, r, Invite{r.PostFormValue("email")})
	})))
	return httptest.NewServer(mux)
}

// post sends a form with an Idempotency-Key, and preferences for the answer.
func post(server *httptest.Server, key, prefer, email string) *http.Response {
	req, err := http.NewRequest("POST", server.URL+"/invites", strings.NewReader("email="+email))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Prefer", prefer)
	answer, err := server.Client().Do(req)
	if err != nil {
		panic(err)
	}
	defer func() { _ = answer.Body.Close() }() // the header says all
	return answer
}

// A request is answered at once, and its repeat in the same way. Who prefers to
// wait gets the result.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	store := offstagetest.NewStore()
	server := app(ctx, offstage.NewClient(store), status.Config{})
	defer server.Close()

	first := post(server, "k-1", "respond-async", "ann@example.com")
	again := post(server, "k-1", "respond-async", "ann@example.com")
	other := post(server, "k-1", "respond-async", "bob@example.com")
	fmt.Println(first.Status, again.Status, other.Status)
	fmt.Println("the same place:", first.Header.Get("Location") == again.Header.Get("Location"))

	w, err := worker.New(store, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	worker.HandleResult(w, func(_ context.Context, job *offstage.Job[Invite]) (string, error) {
		return "invited " + job.Args.Email, nil
	})
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	waited := post(server, "k-2", "wait=10", "cyd@example.com")
	result, err := server.Client().Get(server.URL + waited.Header.Get("Location") + "/result")
	if err != nil {
		panic(err)
	}
	defer func() { _ = result.Body.Close() }() // it was only read
	text, err := io.ReadAll(result.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(waited.Status, string(text))
	cancel()
	fmt.Println(<-done)
	// Output:
	// 202 Accepted 202 Accepted 422 Unprocessable Entity
	// the same place: true
	// 200 OK "invited cyd@example.com"
	// <nil>
}

// A queue that is full lets nobody in; the answer says when to come again.
func ExampleLimit() {
	ctx := context.Background()
	server := app(ctx, offstage.NewClient(offstagetest.NewStore()), status.Config{
		Limits: map[string]status.Limit{offstage.DefaultQueue: {Depth: 2}},
	})
	defer server.Close()
	for _, key := range []string{"a", "b", "c"} {
		answer := post(server, key, "respond-async", key+"@example.com")
		fmt.Println(answer.Status, answer.Header.Get("Retry-After"))
	}
	// Output:
	// 202 Accepted 1
	// 202 Accepted 1
	// 429 Too Many Requests 1
}

// A handler tells the user what went wrong in words of his own; what it knows
// beside that stays inside.
func ExampleTell() {
	err := offstage.Fail(status.Tell("the address does not exist", fmt.Errorf("smtp 550 from 10.0.0.7")))
	job := offstage.JobInfo{State: offstage.Failed, Error: err.Error()}
	fmt.Println(status.Message(job))
	job.Error = "dial tcp 10.0.0.7: connection refused"
	fmt.Println(status.Message(job))
	// Output:
	// the address does not exist
	// something went wrong on our side; it has been noted
}

// A webhook is signed so that its receiver knows from whom it is; this is the
// example of the specification.
func ExampleSignWebhook() {
	signature, err := status.SignWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	fmt.Println(signature, err)
	// Output: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= <nil>
}
