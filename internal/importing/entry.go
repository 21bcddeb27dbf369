package importing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/offstagehq/offstage/schedule"
)

// Entry is one schedule of the file, as it is here.
type Entry struct {
	Line        int             `json:"line"`
	Original    string          `json:"original"` // what it was there, in short
	Name        string          `json:"name"`
	Expression  string          `json:"expression"`
	Zone        string          `json:"zone"`
	Meaning     string          `json:"meaning"`
	Kind        string          `json:"kind"` // of the jobs; CommandKind, HTTPKind
	Args        json.RawMessage `json:"args,omitempty"`
	Queue       string          `json:"queue,omitempty"`
	Priority    *int            `json:"priority,omitempty"`
	Description string          `json:"description,omitempty"`
	Off         bool            `json:"off,omitempty"` // it was switched off there
	// Warnings say what the original does otherwise than it reads, and what this
	// one does.
	Warnings []string `json:"warnings"`
}

// The kinds of what is not a class or task of the application's.
const (
	CommandKind = "command"
	HTTPKind    = "http"
)

// Runs reports whether its jobs are run by a handler of the application's.
func (e *Entry) Runs() bool { return e.Kind != CommandKind && e.Kind != HTTPKind }

// Refusal is a part of the file that is not understood, or not schedules'.
type Refusal struct {
	Line    int    `json:"line"`
	Text    string `json:"text"`
	Problem string `json:"problem"`
}

// Result is what was read.
type Result struct {
	Entries []Entry   `json:"entries"`
	Refused []Refusal `json:"refused"` // what cannot be read
	Ignored []Refusal `json:"ignored"` // what is no schedule: settings
}

// Formats are the names of what Read reads.
var Formats = []string{"crontab", "whenever", "sidekiq-scheduler", "sidekiq-cron", "solid-queue"}

// MaxFile is how many bytes a file may have.
const MaxFile = 1 << 20

// Guess returns the format that a file's name stands for; "" if it is none.
func Guess(path string) string {
	switch base := path[strings.LastIndexAny(path, `/\`)+1:]; {
	case strings.HasSuffix(base, ".rb"):
		return "whenever"
	case strings.HasPrefix(base, "recurring.y"):
		return "solid-queue"
	case strings.HasPrefix(base, "sidekiq"):
		return "sidekiq-scheduler"
	case strings.HasSuffix(base, ".yml"), strings.HasSuffix(base, ".yaml"):
		return "sidekiq-cron"
	}
	return "crontab"
}

// Read reads a file of a format. zone is what entries are in that name none; ""
// is UTC. What cannot be read is among the refused; an error means that nothing
// could be.
func Read(format string, data []byte, zone string) (Result, error) {
	if len(data) > MaxFile {
		return Result{}, fmt.Errorf("the file has %d bytes, more than the limit of %d", len(data), MaxFile)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return Result{}, fmt.Errorf("the file is not text in UTF-8")
	}
	if zone == "" {
		zone = "UTC"
	}
	if _, err := schedule.Zone(zone); err != nil {
		return Result{}, err
	}
	r := &reader{zone: zone, names: map[string]bool{}}
	var err error
	switch format {
	case "crontab":
		r.crontab(string(data))
	case "whenever":
		r.whenever(string(data))
	case "sidekiq-scheduler", "sidekiq-cron", "solid-queue":
		err = r.yaml(format, data)
	default:
		err = fmt.Errorf("%q is not one of %s", format, strings.Join(Formats, ", "))
	}
	slices.SortStableFunc(r.Refused, func(a, b Refusal) int { return a.Line - b.Line })
	return r.Result, err
}

// reader collects what is read.
type reader struct {
	Result
	zone  string
	names map[string]bool
}

func (r *reader) refuse(line int, text, problem string, args ...any) {
	r.Refused = append(r.Refused, Refusal{line, strings.TrimSpace(text), fmt.Sprintf(problem, args...)})
}

func (r *reader) ignore(line int, text, why string, args ...any) {
	r.Ignored = append(r.Ignored, Refusal{line, strings.TrimSpace(text), fmt.Sprintf(why, args...)})
}

// mostKind is how long the name of a kind may be.
const mostKind = 100

// add completes an entry: its expression must be understood, and its name is made
// different from all others.
func (r *reader) add(e Entry) {
	if e.Zone == "" {
		e.Zone = r.zone
	}
	zone, err := schedule.Zone(e.Zone)
	if err != nil {
		r.refuse(e.Line, e.Original, "%v", err)
		return
	}
	if e.Kind == "" || len(e.Kind) > mostKind {
		r.refuse(e.Line, e.Original, "the name of a kind, of 1 to %d letters, cannot be made of it", mostKind)
		return
	}
	if e.Name == "" {
		e.Name = e.Kind
	}
	e.Name = nameFrom(e.Name)
	parsed, err := schedule.Parse(e.Expression, schedule.In(zone), schedule.Name(e.Name))
	if err != nil {
		r.refuse(e.Line, e.Original, "%s", problemOf(err))
		return
	}
	if parsed.Reboot() {
		e.Warnings = append(e.Warnings, "there it runs when the machine starts; here when a worker starts and no other runs")
	}
	for n, base := 2, e.Name; r.names[e.Name]; n++ {
		e.Name = base + "_" + strconv.Itoa(n)
	}
	r.names[e.Name] = true
	e.Expression, e.Zone, e.Meaning = parsed.String(), parsed.Zone().String(), parsed.Explain()
	if e.Warnings == nil {
		e.Warnings = []string{}
	}
	r.Entries = append(r.Entries, e)
}

// problemOf says what is wrong with an expression, which the caller shows.
func problemOf(err error) string {
	var p *schedule.ParseError
	if !errors.As(err, &p) {
		return err.Error()
	}
	text := p.Problem
	if p.Word != "" {
		text = strconv.Quote(p.Word) + ": " + text
	}
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// Snake writes the name of a class, method or task as that of a kind.
func Snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = '_'
		case unicode.IsUpper(r):
			lower := i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]))
			ends := i > 0 && i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])
			if lower || ends {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	parts := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '_' })
	return strings.Join(parts, "_")
}

// nameFrom makes the name of a schedule of any text.
func nameFrom(text string) string {
	name := strings.Map(func(r rune) rune {
		if r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.:/", r)) {
			return r
		}
		return '_'
	}, text)
	name = strings.Trim(name, "_")
	if name == "" {
		name = "schedule"
	}
	const most = 90 // of 100, so that a number has room
	return name[:min(len(name), most)]
}
