package builtin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// HTTPKind is the kind of jobs that call an address.
const HTTPKind = "http"

// httpArgs name a destination of the file, and what is called below it.
type httpArgs struct {
	Destination string `json:"destination"`
	Path        string `json:"path,omitempty"` // below the destination, with its query
	Method      string `json:"method,omitempty"`
	Body        string `json:"body,omitempty"`
}

// Kind names the kind.
func (httpArgs) Kind() string { return HTTPKind }

// HTTPResult is an answer below 400.
type HTTPResult struct {
	Status int    `json:"status"`
	Body   string `json:"body"` // its beginning
}

const (
	keepBody = 16 << 10  // bytes of an answer that are kept
	mostWait = 24 * 3600 // seconds that an answer may ask to wait
)

// target returns a destination and the address below it, or why that is not
// allowed.
func (c *Config) target(args httpArgs) (*Destination, string, error) {
	d := c.Destinations[args.Destination]
	if d == nil {
		return nil, "", fmt.Errorf("the destination %q is not allowed by this worker's file", args.Destination)
	}
	if method := args.method(); !slices.Contains(d.Methods, method) {
		return nil, "", fmt.Errorf("the destination %q allows %s, not %s", args.Destination, strings.Join(d.Methods, ", "), method)
	}
	base, err := url.Parse(d.URL)
	if err != nil {
		return nil, "", err
	}
	below, err := url.Parse(args.Path)
	if err != nil || below.IsAbs() || below.Host != "" || slices.Contains(strings.Split(below.Path, "/"), "..") {
		return nil, "", fmt.Errorf("the path %q does not lead below %s", args.Path, d.URL)
	}
	address := *base
	if below.Path != "" {
		address.Path = strings.TrimSuffix(base.Path, "/") + "/" + strings.TrimPrefix(below.Path, "/")
		address.RawPath = ""
	}
	address.RawQuery = below.RawQuery
	return d, address.String(), nil
}

func (a httpArgs) method() string {
	if a.Method == "" {
		return http.MethodGet
	}
	return strings.ToUpper(a.Method)
}

// caller follows no redirect: it might lead to where the file allows nothing.
var caller = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// call calls an address once. An answer of 400 or more is an error; one that says
// when to come again is heeded.
func (c *Config) call(ctx context.Context, job *offstage.Job[httpArgs]) (HTTPResult, error) {
	d, address, err := c.target(job.Args)
	if err != nil {
		return HTTPResult{}, offstage.Fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(d.Timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, job.Args.method(), address, strings.NewReader(job.Args.Body))
	if err != nil {
		return HTTPResult{}, offstage.Fail(err)
	}
	for name, value := range d.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Idempotency-Key", "offstage-"+job.ID.String())
	response, err := caller.Do(request)
	if err != nil {
		return HTTPResult{}, err
	}
	defer func() { _ = response.Body.Close() }()
	out := &tail{}
	if _, err := io.Copy(out, io.LimitReader(response.Body, keepBody)); err != nil {
		return HTTPResult{}, err
	}
	result := HTTPResult{Status: response.StatusCode, Body: out.text(keepBody)}
	if response.StatusCode < 300 {
		return result, nil
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 && response.StatusCode >= 400 {
		return result, offstage.RetryAfter(time.Duration(min(seconds, mostWait)) * time.Second)
	}
	return result, fmt.Errorf("%s answered %s: %s", address, response.Status, out.text(errorTail))
}
