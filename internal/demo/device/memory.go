package device

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// errKeyReused is a key that came with another command before.
var errKeyReused = errors.New("this Idempotency-Key was used for another command")

// errTooManyDown is an outage beyond maxOutages.
var errTooManyDown = fmt.Errorf("%d devices are down already", maxOutages)

// maxOutages bounds the devices that are down at the same time, and with it the memory for them.
const maxOutages = 1_000

// deviceKey is what makes a command the same command.
type deviceKey struct{ device, key string }

// memory is what the devices know: the commands they applied and how long they are down. With a folder it is a log that
// every process which serves these devices shares:
//
//   - fleet.log has one JSON record per line. A record counts once its line end is there; it is synced before anybody
//     hears of it. A line without an end was being written by a process that died, and is cut off.
//   - fleet.lock is locked, by a lock of the operating system that dies with its process, around everything. Who gets
//     it first reads what others have appended.
//   - A log that is too long when a process opens it is written anew beside itself and renamed; who has the old one open
//     notices by comparing files.
type memory struct {
	path     string // of fleet.log; empty without a folder
	remember int

	mu     sync.Mutex // guards all below; taken before the file lock
	lock   *os.File
	log    *os.File // nil until first needed
	read   int64    // bytes of the log that the maps below know
	lines  int      // records in these bytes
	broken error    // a failed write, after which the log may differ from the maps

	devices map[string]*history
	byKey   map[deviceKey]Applied
	order   []deviceKey // keys of byKey, oldest first
	outages map[string]time.Time
}

// history is what one device applied, oldest first.
type history struct {
	applied []Applied
}

// record is one line of the log: an applied command, or with an empty key an outage.
type record struct {
	Device string    `json:"device"`
	Key    string    `json:"key,omitempty"`
	Text   string    `json:"command,omitempty"`
	Number int64     `json:"number,omitempty"`
	At     time.Time `json:"at"` // when it was applied, or when the outage ends
}

func openMemory(dir string, remember int) (*memory, error) {
	m := &memory{remember: remember}
	m.forget()
	if dir == "" {
		return m, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	var err error
	if m.lock, err = os.OpenFile(filepath.Join(dir, "fleet.lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	m.path = filepath.Join(dir, "fleet.log")
	if err := m.exclusive(m.compact); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.log != nil {
		err = m.log.Close()
	}
	if m.lock != nil {
		err = errors.Join(err, m.lock.Close())
	}
	m.log, m.lock = nil, nil
	m.broken = errors.New("device: the fleet is closed")
	return err
}

// apply applies the command unless its key is known, and returns the answer of the first time.
func (m *memory) apply(key deviceKey, command string, now time.Time) (result Result, err error) {
	err = m.exclusive(func() error {
		known, already := m.byKey[key]
		switch {
		case already && known.Command != command:
			return errKeyReused
		case !already:
			r := record{Device: key.device, Key: key.key, Text: command, Number: m.applied(key.device) + 1, At: now}
			if err := m.append(r); err != nil {
				return err
			}
			known = m.byKey[key]
		}
		result = Result{
			Device: key.device, Command: known.Command, Key: known.Key,
			Number: known.Number, AppliedAt: known.At, AlreadyApplied: already,
		}
		return nil
	})
	return result, err
}

// state returns what can be seen of a device.
func (m *memory) state(device string, now time.Time) (State, error) {
	s := State{Device: device, Log: []Applied{}}
	err := m.exclusive(func() error {
		s.Applied = m.applied(device)
		if h := m.devices[device]; h != nil {
			s.Log = slices.Clone(h.applied[max(0, len(h.applied)-maxLog):])
			slices.Reverse(s.Log)
		}
		if until := m.outages[device]; until.After(now) {
			s.DownUntil = &until
		}
		return nil
	})
	return s, err
}

// downUntil returns the end of the device's outage, or zero.
func (m *memory) downUntil(device string, now time.Time) (until time.Time, err error) {
	err = m.exclusive(func() error {
		if end := m.outages[device]; end.After(now) {
			until = end
		}
		return nil
	})
	return until, err
}

// setDown begins an outage of length d now, or ends one when d is 0.
func (m *memory) setDown(device string, now time.Time, d time.Duration) error {
	return m.exclusive(func() error {
		m.dropOutages(now)
		_, down := m.outages[device]
		switch {
		case d == 0 && !down:
			return nil
		case d > 0 && !down && len(m.outages) >= maxOutages:
			return errTooManyDown
		}
		return m.append(record{Device: device, At: now.Add(d)})
	})
}

// exclusive runs do while no other request of any process uses the memory, after learning what others wrote.
func (m *memory) exclusive(do func() error) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	if m.path == "" {
		return do()
	}
	if err := lockFile(m.lock); err != nil {
		return fmt.Errorf("device: lock %s: %w", m.lock.Name(), err)
	}
	defer func() {
		if e := unlockFile(m.lock); e != nil {
			err = errors.Join(err, fmt.Errorf("device: unlock %s: %w", m.lock.Name(), e))
		}
	}()
	if err := m.catchUp(); err != nil {
		return fmt.Errorf("device: read %s: %w", m.path, err)
	}
	return do()
}

// catchUp reads what was appended since the last time.
func (m *memory) catchUp() error {
	if err := m.reopen(); err != nil {
		return err
	}
	end, err := m.log.Seek(0, io.SeekEnd)
	if err != nil || end == m.read {
		return err
	}
	lines := bufio.NewReader(io.NewSectionReader(m.log, m.read, end-m.read))
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				return m.log.Truncate(m.read)
			}
			return nil
		}
		if err != nil {
			return err
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("record %d: %w", m.lines+1, err)
		}
		m.learn(r, int64(len(line)))
	}
}

// reopen opens the log, unless it is open and still the file of that name.
func (m *memory) reopen() error {
	if m.log != nil {
		now, err := os.Stat(m.path)
		if err != nil {
			return err
		}
		mine, err := m.log.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(now, mine) {
			return nil
		}
		if err := m.log.Close(); err != nil {
			return err
		}
	}
	m.forget()
	var err error
	m.log, err = os.OpenFile(m.path, os.O_RDWR|os.O_CREATE, 0o600)
	return err
}

func (m *memory) forget() {
	m.log, m.read, m.lines, m.order = nil, 0, 0, nil
	m.devices, m.byKey, m.outages = map[string]*history{}, map[deviceKey]Applied{}, map[string]time.Time{}
}

// append writes the record, to the disk if there is one, and learns it.
func (m *memory) append(r record) error {
	if m.path == "" {
		m.learn(r, 0)
		return nil
	}
	line, err := encode(r)
	if err != nil {
		return err
	}
	if _, err = m.log.WriteAt(line, m.read); err == nil {
		err = m.log.Sync()
	}
	if err != nil {
		// The record may or may not be in the log: whoever opens it next will see.
		m.broken = fmt.Errorf("device: write %s: %w", m.path, err)
		return m.broken
	}
	m.learn(r, int64(len(line)))
	return nil
}

func encode(r record) ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("device: encode record: %w", err)
	}
	return append(line, '\n'), nil
}

// learn takes a record, of so many bytes in the log, into the maps.
func (m *memory) learn(r record, size int64) {
	m.read += size
	m.lines++
	if r.Key == "" {
		if m.outages[r.Device] = r.At; len(m.outages) > maxOutages {
			m.dropOutages(time.Now())
		}
		return
	}
	h := m.devices[r.Device]
	if h == nil {
		h = &history{}
		m.devices[r.Device] = h
	}
	a := Applied{Number: r.Number, Command: r.Text, Key: r.Key, At: r.At}
	key := deviceKey{r.Device, r.Key}
	h.applied = append(h.applied, a)
	m.byKey[key] = a
	m.order = append(m.order, key)
	if len(m.order) > m.remember {
		m.forgetOldest()
	}
}

// dropOutages forgets the outages that are over.
func (m *memory) dropOutages(now time.Time) {
	for device, end := range m.outages {
		if !end.After(now) {
			delete(m.outages, device)
		}
	}
}

func (m *memory) forgetOldest() {
	key := m.order[0]
	m.order = m.order[1:]
	delete(m.byKey, key)
	h := m.devices[key.device]
	if h.applied = h.applied[1:]; len(h.applied) == 0 {
		delete(m.devices, key.device)
	}
}

// applied returns the number of the last command of the device.
func (m *memory) applied(device string) int64 {
	if h := m.devices[device]; h != nil {
		return h.applied[len(h.applied)-1].Number
	}
	return 0
}

// compact writes the log anew when more than half of it, and enough to be worth it, is no longer needed.
func (m *memory) compact() error {
	if m.lines <= 2*m.remember+maxOutages {
		return nil
	}
	var records []record
	for _, key := range m.order {
		a := m.byKey[key]
		records = append(records, record{Device: key.device, Key: a.Key, Text: a.Command, Number: a.Number, At: a.At})
	}
	m.dropOutages(time.Now())
	for device, end := range m.outages {
		records = append(records, record{Device: device, At: end})
	}
	var text bytes.Buffer
	for _, r := range records {
		line, err := encode(r)
		if err != nil {
			return err
		}
		text.Write(line)
	}
	if err := m.log.Close(); err != nil { // some systems rename only over files that nobody has open
		return fmt.Errorf("device: %w", err)
	}
	m.forget()
	if err := replaceFile(m.path, text.Bytes()); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	if err := m.catchUp(); err != nil {
		return fmt.Errorf("device: read %s: %w", m.path, err)
	}
	return nil
}

// replaceFile puts text in the place of the file at path, so that a crash leaves the one or the other.
func replaceFile(path string, text []byte) error {
	next, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = next.Write(text)
	if err == nil {
		err = next.Sync()
	}
	if err = errors.Join(err, next.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
