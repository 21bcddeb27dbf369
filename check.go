package offstage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"
)

// Limits of what can be enqueued.
const (
	MaxArgs     = 1 << 20                    // bytes of a job's JSON arguments
	MaxResult   = 1 << 20                    // bytes of a job's JSON result
	MaxName     = 100                        // bytes of a kind's, queue's or tag's name
	MaxTags     = 20                         // tags of a job
	MaxExtra    = 64 << 10                   // bytes of metadata and carried values together
	MaxPriority = 9                          // the last priority; 0 is the first
	MaxDelay    = 100 * 365 * 24 * time.Hour // how far ahead a job can be scheduled, and the longest timeout or period
)

// Defaults of what is enqueued.
const (
	DefaultQueue    = "default"
	DefaultPriority = 5
)

// Check reports the first thing wrong with a job, as an [InvalidError] that
// names the field and the limit. Clients call it before the store sees a job.
func (job *NewJob) Check() error { return job.check(false) }

// check is Check, for arguments that are known to be valid JSON or not.
func (job *NewJob) check(valid bool) error {
	if err := CheckName("kind", job.Kind); err != nil {
		return err
	}
	if err := CheckName("queue", job.Queue); err != nil {
		return err
	}
	if job.Priority < 0 || job.Priority > MaxPriority {
		return invalid("priority", "%d is not from 0 (first) to %d (last)", job.Priority, MaxPriority)
	}
	if len(job.Args) > MaxArgs {
		return invalid("args", "%d bytes of JSON are more than the limit of %d; store the data elsewhere and enqueue a reference", len(job.Args), MaxArgs)
	}
	if !valid && (!utf8.Valid(job.Args) || !json.Valid(job.Args)) {
		return invalid("args", "not valid JSON in UTF-8")
	}
	if job.MaxAttempts < 0 || job.MaxAttempts > 10_000 {
		return invalid("max attempts", "%d is not from 1 to 10000", job.MaxAttempts)
	}
	if err := job.checkTimes(); err != nil {
		return err
	}
	if err := job.checkFlow(); err != nil {
		return err
	}
	return job.checkExtra()
}

func (job *NewJob) checkTimes() error {
	if job.Timeout < 0 || job.Timeout > MaxDelay {
		return invalid("timeout", "%s is not from 0 to 100 years", job.Timeout)
	}
	if job.Delay > MaxDelay {
		return invalid("delay", "%s is more than 100 years", job.Delay)
	}
	if job.RunAt.Year() > 9999 || (!job.RunAt.IsZero() && job.RunAt.Year() < 1) {
		return invalid("run at", "the year %d is not from 1 to 9999", job.RunAt.Year())
	}
	if u := job.Unique; u != nil && (u.Period > MaxDelay || u.Wait > MaxDelay || u.MaxWait > MaxDelay) {
		return invalid("unique period", "durations of more than 100 years are not supported")
	}
	return nil
}

func (job *NewJob) checkExtra() error {
	if len(job.Tags) > MaxTags {
		return invalid("tags", "%d tags are more than the limit of %d", len(job.Tags), MaxTags)
	}
	for _, tag := range job.Tags {
		if err := CheckText("tags", tag, MaxName); err != nil {
			return err
		}
	}
	size := 0
	for field, values := range map[string]map[string]string{"metadata": job.Metadata, "carried values": job.Carry} {
		for key, value := range values {
			if err := CheckText(field, key, MaxName); err != nil {
				return err
			}
			if value != "" {
				if err := CheckText(field+" "+key, value, MaxExtra); err != nil {
					return err
				}
			}
			size += len(key) + len(value)
		}
	}
	if size > MaxExtra {
		return invalid("metadata", "%d bytes with the carried values are more than the limit of %d", size, MaxExtra)
	}
	return nil
}

// CheckName reports whether a kind's or queue's name can be used: 1 to 100 of
// the characters A–Z a–z 0–9 _ - . : /
func CheckName(field, name string) error {
	if name == "" {
		return invalid(field, "the name is empty")
	}
	if len(name) > MaxName {
		return invalid(field, "the name has %d bytes, more than the limit of %d", len(name), MaxName)
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || bytes.IndexByte([]byte("_-.:/"), c) >= 0) {
			return invalid(field, "%q: the character %q is not one of A-Z a-z 0-9 _ - . : /", name, c)
		}
	}
	return nil
}

// CheckText reports whether a short text for people can be stored: 1 to limit
// bytes of UTF-8 without control characters.
func CheckText(field, text string, limit int) error {
	if text == "" {
		return invalid(field, "the text is empty")
	}
	if len(text) > limit {
		return invalid(field, "%d bytes are more than the limit of %d", len(text), limit)
	}
	for _, r := range text {
		if r < ' ' && r != '\t' && r != '\n' || r == 0x7f || r == 0xfffd {
			return invalid(field, "%.40q holds a control character or invalid UTF-8", text)
		}
	}
	return nil
}

// badText is what is written in the place of invalid UTF-8.
const badText = `\ufffd`

// encodeArgs marshals a job's arguments and makes sure that a worker will read
// back what was written. Raw JSON stays as it is, byte for byte. With valid, what it
// returns need not be checked: no type in it had a say in how it is written.
func encodeArgs(args any) (encoded []byte, valid bool, err error) {
	args = unwrapArgs(args)
	if raw, ok := args.(json.RawMessage); ok {
		return bytes.Clone(raw), false, nil
	}
	encoded, err = json.Marshal(args)
	if err != nil {
		return nil, false, invalid("args", "cannot be written as JSON: %v", err)
	}
	if args == nil {
		return encoded, true, nil
	}
	if isLossless(reflect.TypeOf(args)) && !bytes.Contains(encoded, []byte(badText)) {
		return encoded, true, nil
	}
	return encoded, false, checkRoundTrip(args, encoded)
}

// checkRoundTrip reads arguments back from what was written of them.
func checkRoundTrip(args any, encoded []byte) error {
	if err := checkFields(reflect.ValueOf(args), "args"); err != nil {
		return err
	}
	again := reflect.New(reflect.TypeOf(args))
	if err := json.Unmarshal(encoded, again.Interface()); err != nil {
		return invalid("args", "do not survive a JSON round trip: %v", err)
	}
	back, err := json.Marshal(again.Elem().Interface())
	if err != nil || !bytes.Equal(encoded, back) {
		return invalid("args", "do not survive a JSON round trip: %.200s is read back as %.200s", encoded, back)
	}
	return nil
}

// unwrapArgs takes off what [Named] and [With] put round a value.
func unwrapArgs(args any) any {
	for {
		switch wrapped := args.(type) {
		case namedArgs:
			args = wrapped.value
		case argsWith:
			args = wrapped.Args
		default:
			return args
		}
	}
}

// checkFields names an unexported struct field that holds a value: JSON would
// drop it without a word. Types that marshal themselves are trusted.
func checkFields(v reflect.Value, path string) error {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || marshalsItself(v.Type()) {
		return nil
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := fmt.Sprintf("%s.%s", path, field.Name)
		if !field.IsExported() && !field.Anonymous {
			if !v.Field(i).IsZero() && field.Tag.Get("json") != "-" {
				return invalid(name, "the field is unexported: its value would be lost on the way to the worker")
			}
			continue
		}
		if err := checkFields(v.Field(i), name); err != nil {
			return err
		}
	}
	return nil
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
)

func marshalsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}
