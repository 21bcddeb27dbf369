// Package device simulates a third party that is unreliable: devices which take commands over HTTP, slowly, often not at
// all, and sometimes without saying that they did.
//
// A [Fleet] answers for every device of a valid name. A [Client] sends it commands and sorts what comes back into
// applied, unavailable (send it again, with the same key) and rejected (never send it again).
//
//	POST /devices/{id}/commands        {"command": "reboot"} with the header Idempotency-Key: applies it once per key;
//	                                   with "callback": "http://…" the device sends a [Report] there when it is done
//	GET  /devices/{id}                 the state and the log of applied commands, newest first
//	POST /devices/{id}/down?for=30s    switches the device off for that long
//	POST /devices/{id}/up              switches it on again
//
// A device applies a command at most once per key: the first request with a key that gets through applies it, and every
// later one returns the first answer with already_applied set. What was applied is in a file, synced before the answer,
// so that devices outlive the program that simulates them; several programs, or a program and its dying predecessor,
// may serve the same file at the same time. This holds for the last [Options.Remember] commands of the whole fleet; a
// device of which all commands are forgotten begins again.
//
// Only commands meet latency and faults; the other requests are for the people who watch.
package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options configure a [Fleet]. The zero value is a reliable fleet that forgets everything when it is closed.
type Options struct {
	Dir      string // folder for the memory of the devices, made if absent; empty keeps it in this process
	Seed     uint64 // chooses which tries of which commands meet which fault
	Faults   Faults // what happens to commands; the zero value lets every one through at once
	Remember int    // commands that the fleet remembers, 1 to 1,000,000, the same in each process; 0 means 20,000
}

// Faults say how unreliable the devices are. Each of the four shares is the part, from 0 to 1, of the tries that meet it;
// their sum is at most 1, and the rest succeeds. Which tries these are depends on the seed, the device, the key and
// the number of the try alone, not on the order of requests.
type Faults struct {
	Latency     time.Duration // mean time before anything happens; exponentially distributed up to 10 times as long
	Unavailable float64       // refused with 503 and Retry-After
	Hang        float64       // never answered
	Drop        float64       // cut off before the command is applied
	LoseAnswer  float64       // cut off after the command is applied
	Work        time.Duration // mean time from when a command is applied until a device reports that it is done
}

// Unreliable returns the faults of the demo: half of the tries go wrong, in every way.
func Unreliable() Faults {
	return Faults{Latency: 300 * time.Millisecond, Unavailable: 0.25, Hang: 0.05, Drop: 0.1, LoseAnswer: 0.1, Work: 3 * time.Second}
}

const (
	defaultRemember = 20_000
	maxRemember     = 1_000_000
)

func (o Options) withDefaults() Options {
	o.Remember = cmp.Or(o.Remember, defaultRemember)
	return o
}

func (o Options) validate() error {
	f := o.Faults
	for name, share := range map[string]float64{
		"Unavailable": f.Unavailable, "Hang": f.Hang, "Drop": f.Drop, "LoseAnswer": f.LoseAnswer,
	} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("device: Faults.%s is %v; use 0 to 1", name, share)
		}
	}
	if sum := f.Unavailable + f.Hang + f.Drop + f.LoseAnswer; sum > 1+1e-9 {
		return fmt.Errorf("device: the shares of Faults add up to %v; use at most 1", sum)
	}
	if f.Latency < 0 || f.Latency > time.Minute || f.Work < 0 || f.Work > time.Minute {
		return fmt.Errorf("device: Faults.Latency is %v and Work %v; use 0 to 1m", f.Latency, f.Work)
	}
	if o.Remember < 1 || o.Remember > maxRemember {
		return fmt.Errorf("device: Remember is %d; use 1 to %d", o.Remember, maxRemember)
	}
	return nil
}

// Fleet is the simulated devices, as an http.Handler. Make it with [New]; it is safe for concurrent use.
type Fleet struct {
	faults Faults
	seed   uint64
	mux    *http.ServeMux
	memory *memory
	owed   callbacks

	mu    sync.Mutex
	tries map[deviceKey]uint64 // tries of each command so far; guarded by mu
}

// New returns a fleet, which remembers what the devices of the folder have applied before. The error names the option or
// the file that is wrong.
func New(o Options) (*Fleet, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	m, err := openMemory(o.Dir, o.Remember)
	if err != nil {
		return nil, err
	}
	f := &Fleet{faults: o.Faults, seed: o.Seed, memory: m, tries: map[deviceKey]uint64{}, mux: http.NewServeMux(), owed: callbacks{stop: make(chan struct{})}}
	f.mux.HandleFunc("POST /devices/{id}/commands", f.serveCommand)
	f.mux.HandleFunc("GET /devices/{id}", f.serveState)
	f.mux.HandleFunc("POST /devices/{id}/down", f.serveDown)
	f.mux.HandleFunc("POST /devices/{id}/up", f.serveUp)
	return f, nil
}

// Close lets go of the files; what devices still had to report is forgotten. No request may be running.
func (f *Fleet) Close() error {
	f.owed.close()
	return f.memory.close()
}

// Listen opens a free port of the loopback interface and returns it with the base URL for a [Client].
func Listen() (l net.Listener, baseURL string, err error) {
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, "", fmt.Errorf("device: listen: %w", err)
	}
	return l, "http://" + l.Addr().String(), nil
}

// stopTimeout bounds how long Serve waits for its last requests, none of which waits for anything but the disk.
const stopTimeout = 5 * time.Second

// Serve answers requests on l until ctx ends, then breaks off those that are waiting, closes l and returns nil when the
// last has ended. Any other end returns the error.
func (f *Fleet) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           f,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("device: serve: %w", err)
	case <-ctx.Done():
	}
	// Detached: ctx has ended, and this is what happens then.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := server.Shutdown(last)
	if err != nil {
		err = errors.Join(fmt.Errorf("device: stop: %w", err), server.Close())
	}
	<-served
	return err
}

// outcome is what becomes of one try of a command.
type outcome uint8

const (
	succeed outcome = iota
	unavailable
	hang
	drop
	loseAnswer
)

// maxTries bounds the memory of tries. Beyond it they are forgotten, which only makes fates repeat.
const maxTries = 10_000

// fate returns the latency and the outcome of the next try of a command.
func (f *Fleet) fate(key deviceKey) (time.Duration, outcome) {
	f.mu.Lock()
	if len(f.tries) >= maxTries {
		clear(f.tries)
	}
	try := f.tries[key]
	f.tries[key]++
	f.mu.Unlock()

	h := fnv.New64a()
	fmt.Fprintf(h, "%s\n%s\n%d", key.device, key.key, try)
	random := rand.New(rand.NewPCG(f.seed, h.Sum64()))
	latency := time.Duration(min(random.ExpFloat64(), 10) * float64(f.faults.Latency))
	left := random.Float64()
	for _, share := range []struct {
		of      float64
		outcome outcome
	}{{f.faults.Unavailable, unavailable}, {f.faults.Hang, hang}, {f.faults.Drop, drop}, {f.faults.LoseAnswer, loseAnswer}} {
		if left < share.of {
			return latency, share.outcome
		}
		left -= share.of
	}
	return latency, succeed
}
