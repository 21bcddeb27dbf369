package device

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Report is what a device sends to a command's callback when it has carried the
// command out: a POST of this as JSON.
type Report struct {
	Result
	Done time.Time `json:"done"`
}

const (
	maxCallback   = 1 << 10 // bytes of its address
	callbackTries = 5
	callbackPause = time.Second
	callbackTime  = 5 * time.Second // for one try
)

// validateCallback checks the address to which a device is to report; "" is none.
func validateCallback(address string) error {
	if address == "" {
		return nil
	}
	at, err := url.Parse(address)
	if err != nil || len(address) > maxCallback || at.Scheme != "http" || at.Host == "" {
		return fmt.Errorf("callback: use an http address of at most %d bytes", maxCallback)
	}
	return nil
}

// callbacks are the reports that devices still owe.
type callbacks struct {
	stop    chan struct{} // closed by close
	stopped sync.Once
	running sync.WaitGroup
}

// owe has a device report in a while. A fleet that is closed meanwhile forgets it,
// as a device does that loses its power.
func (c *callbacks) owe(address string, work time.Duration, result Result) {
	c.running.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-c.stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		wait(ctx, time.Duration(min(rand.ExpFloat64(), 3)*float64(work)))
		report := Report{result, time.Now()}
		for try := 0; try < callbackTries && ctx.Err() == nil; try++ {
			if call(ctx, address, report) {
				return
			}
			wait(ctx, callbackPause)
		}
	})
}

// call reports once and says whether the report was taken.
func call(ctx context.Context, address string, report Report) bool {
	ctx, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	body, err := json.Marshal(report)
	if err != nil {
		panic(err) // plain structs always encode
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return true // it never will be
	}
	request.Header.Set("Content-Type", "application/json")
	request.Close = true // a device keeps no connections
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxBody)) // what it says does not matter
	return answer.Body.Close() == nil && answer.StatusCode < 500
}

func (c *callbacks) close() {
	c.stopped.Do(func() { close(c.stop) })
	c.running.Wait()
}
