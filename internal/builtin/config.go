package builtin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// Config is the file of “offstage worker”.
type Config struct {
	Owner        string // of its schedules; "": by the file's name
	Queues       []string
	Slots        int
	Commands     map[string]*Command
	Destinations map[string]*Destination
	Schedules    map[string]*Schedule
}

// Command is a program that jobs may start, by its name in the file.
type Command struct {
	Argv    []string // the program and its arguments: no shell reads them
	Dir     string
	Env     map[string]string // beside PATH its whole environment
	Timeout duration          // 0: an hour
}

// Destination is an address that jobs may call, with all that is below it.
type Destination struct {
	URL     string
	Methods []string // nil: GET
	Headers map[string]string
	Timeout duration // 0: 30 seconds
}

// Schedule is a schedule of the file. Exactly one of Command, Destination and Kind
// says what it enqueues.
type Schedule struct {
	Expression, Zone, Description string
	Command                       string
	Destination, Path, Method     string
	Body                          string
	Kind                          string
	Args                          map[string]any
	Queue                         string
	Priority                      *int
	MaxAttempts                   int `toml:"max_attempts"`
	Missed, Overlap               string
	MissedWindow                  duration `toml:"missed_window"`
	Jitter                        duration
	Start, End                    time.Time
	MaxRuns                       int64 `toml:"max_runs"`
}

// duration is a time.Duration that TOML writes as "90s".
type duration time.Duration

// UnmarshalText reads a duration such as 90s or 1h30m.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err == nil && parsed < 0 {
		err = fmt.Errorf("%s is negative", parsed)
	}
	*d = duration(parsed)
	return err
}

// Read reads the file of a path. Whatever it does not know is an error.
func Read(path string, data []byte) (*Config, error) {
	c := &Config{}
	meta, err := toml.Decode(string(data), c)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("%s is not known here", unknown[0])
	}
	if c.Owner == "" {
		c.Owner = "file:" + strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	if err := offstage.CheckName("owner", c.Owner); err != nil {
		return nil, err
	}
	for name, command := range c.Commands {
		if err := command.check(); err != nil {
			return nil, fmt.Errorf("commands.%s: %w", name, err)
		}
	}
	for name, destination := range c.Destinations {
		if err := destination.check(); err != nil {
			return nil, fmt.Errorf("destinations.%s: %w", name, err)
		}
	}
	return c, nil
}

func (c *Command) check() error {
	switch {
	case len(c.Argv) == 0 || c.Argv[0] == "":
		return fmt.Errorf("argv is missing: the program and its arguments, as in [\"/usr/bin/backup\", \"--full\"]")
	case !filepath.IsAbs(c.Argv[0]):
		return fmt.Errorf("argv: %q is not the whole path of a program", c.Argv[0])
	}
	if c.Timeout == 0 {
		c.Timeout = duration(time.Hour)
	}
	return nil
}

func (d *Destination) check() error {
	base, err := url.Parse(d.URL)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return fmt.Errorf("url: %q is not an address such as https://example.org/hooks/", d.URL)
	}
	if len(d.Methods) == 0 {
		d.Methods = []string{"GET"}
	}
	if d.Timeout == 0 {
		d.Timeout = duration(30 * time.Second)
	}
	return nil
}

// Register gives a worker the handlers of what the file allows.
func (c *Config) Register(w *worker.Worker) {
	if len(c.Commands) > 0 {
		worker.HandleNamedResult(w, CommandKind, c.runCommand)
	}
	if len(c.Destinations) > 0 {
		worker.HandleNamedResult(w, HTTPKind, c.call)
	}
}

// Schedules returns the schedules of the file, by name.
func (c *Config) All() ([]offstage.Schedule, error) {
	var all []offstage.Schedule
	for _, name := range slices.Sorted(maps.Keys(c.Schedules)) {
		s, err := c.schedule(name, c.Schedules[name])
		if err != nil {
			return nil, fmt.Errorf("schedules.%s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (c *Config) schedule(name string, from *Schedule) (offstage.Schedule, error) {
	args, err := c.argsOf(from)
	if err != nil {
		return offstage.Schedule{}, err
	}
	zone := from.Zone
	if zone == "" {
		zone = "UTC"
	}
	location, err := schedule.Zone(zone)
	if err != nil {
		return offstage.Schedule{}, err
	}
	when, err := schedule.Parse(from.Expression, schedule.In(location), schedule.Name(name))
	if err != nil {
		return offstage.Schedule{}, err
	}
	var options []offstage.Option
	if from.Queue != "" {
		options = append(options, offstage.InQueue(from.Queue))
	}
	if from.Priority != nil {
		options = append(options, offstage.Priority(*from.Priority))
	}
	if from.MaxAttempts != 0 {
		options = append(options, offstage.MaxAttempts(from.MaxAttempts))
	}
	s, err := offstage.NewSchedule(name, when, args, options...)
	if err != nil {
		return s, err
	}
	s.Description, s.Start, s.End, s.MaxRuns = from.Description, from.Start, from.End, from.MaxRuns
	s.Missed, s.Overlap = offstage.Missed(from.Missed), offstage.Overlap(from.Overlap)
	s.MissedWindow, s.Jitter = time.Duration(from.MissedWindow), time.Duration(from.Jitter)
	return s, s.Check()
}

// argsOf makes the arguments of a schedule's jobs, whose kind they name.
func (c *Config) argsOf(s *Schedule) (offstage.Args, error) {
	given := 0
	for _, text := range []string{s.Command, s.Destination, s.Kind} {
		if text != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, fmt.Errorf("give one of command, destination and kind")
	case s.Command != "":
		if c.Commands[s.Command] == nil {
			return nil, fmt.Errorf("there is no command %q in the file", s.Command)
		}
		return commandArgs{s.Command}, nil
	case s.Destination != "":
		args := httpArgs{Destination: s.Destination, Path: s.Path, Method: s.Method, Body: s.Body}
		_, _, err := c.target(args)
		return args, err
	}
	encoded, err := json.Marshal(s.Args)
	if s.Args == nil {
		encoded = []byte("{}")
	}
	return offstage.Named(s.Kind, json.RawMessage(encoded)), err
}
