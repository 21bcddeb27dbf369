// Package billing bills customers in a job: an invoice row, a charge at a payment
// provider, an e-mail. It shows how to do that so that it may be interrupted
// anywhere, beside the way that may not. docs/idempotency.md explains it.
package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/offstagehq/offstage/sqlite"
)

// Bill asks for a customer to be billed.
type Bill struct {
	Customer int `json:"customer"`
	Cents    int `json:"cents"`
}

// Kind names the kind.
func (Bill) Kind() string { return "bill" }

// Shop is what the handlers work with.
type Shop struct {
	Store  *sqlite.Store // with a table invoice (id, customer, cents)
	Client *http.Client  // with an idempotency.Transport
	Bank   string        // the payment provider's URL
	Post   string        // the mail service's URL
}

// call posts JSON and reads the answer's id.
func (s *Shop) call(ctx context.Context, url string, body string) (id string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := s.Client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", url, response.Status)
	}
	var answer struct {
		ID string `json:"id"`
	}
	return answer.ID, json.NewDecoder(response.Body).Decode(&answer)
}
