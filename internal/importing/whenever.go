package importing

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// whenever reads the declarative part of a schedule.rb: every … do, tasks, end.
func (r *reader) whenever(text string) {
	w := &wheneverReader{reader: r, types: map[string]string{"command": ":task", "script": "script/:task", "runner": "", "rake": ""}, set: map[string]string{}}
	var block *frequency // inside every … do
	skipping := 0        // inside a block of another kind
	for _, s := range statements(text) {
		first := s[0]
		switch {
		case skipping > 0:
			skipping += opens(s)
		case isWordToken(first, "end") || first.kind == 'p' && first.text == "}":
			block = nil
		case block != nil && opens(s) > 0:
			w.refuse(first.line, original(s), "Ruby code is not executed: write what it makes")
			skipping = opens(s)
		case block != nil:
			w.task(block, s)
		case isWordToken(first, "every"):
			block = w.every(s)
		case first.kind == 'i' && (first.text == "set" || first.text == "env"):
			w.setting(s)
		case isWordToken(first, "job_type") && len(s) > 1:
			w.jobType(s)
		default:
			w.refuse(first.line, original(s), "Ruby code is not executed: write what it makes")
			skipping = max(opens(s), 0)
		}
	}
}

type wheneverReader struct {
	*reader
	types   map[string]string // templates of the commands, by the name of the type; "": it has none
	set     map[string]string // what was set to a text
	hours24 bool
}

func isWordToken(t token, text string) bool { return t.kind == 'i' && t.text == text }

// opens counts how many blocks a statement leaves open; it is negative for those
// that it closes.
func opens(s []token) (n int) {
	for i, t := range s {
		begins := t.kind == 'i' && slices.Contains([]string{"if", "unless", "case", "def", "class", "module", "while", "until", "begin", "for"}, t.text) && i == 0
		switch {
		case isWordToken(t, "do"), begins, t.kind == 'p' && t.text == "{":
			n++
		case isWordToken(t, "end"), t.kind == 'p' && t.text == "}":
			n--
		}
	}
	return n
}

func (w *wheneverReader) setting(s []token) {
	if strings.Contains(original(s), "hours24: true") || strings.Contains(original(s), ":hours24 => true") {
		w.hours24 = true
		w.ignore(s[0].line, original(s), "it is heeded")
		return
	}
	if len(s) == 4 && s[1].kind == ':' && s[3].kind == '"' {
		w.set[s[1].text] = s[3].text
	}
	w.ignore(s[0].line, original(s), "a setting of whenever's; give it to the handler")
}

// jobType reads "job_type :name, "template"".
func (w *wheneverReader) jobType(s []token) {
	name, template := s[1].text, ":task"
	if len(s) > 3 && s[3].kind == '"' {
		template = s[3].text
	}
	if name == "runner" || name == "rake" {
		w.ignore(s[0].line, original(s), "its tasks become kinds, whatever command they were")
		return
	}
	w.types[name] = template
	w.ignore(s[0].line, original(s), "its tasks are kept as commands")
}

// placeholder is what a template names.
var placeholder = regexp.MustCompile(`:[a-z_]+`)

// command fills in a template, and warns of what nobody has set. Output is kept here
// whatever was meant to become of it.
func (w *wheneverReader) command(e *Entry, template, task string, options map[string]string) string {
	filled := placeholder.ReplaceAllStringFunc(template, func(name string) string {
		if name == ":task" {
			return task
		}
		if value, given := options[name[1:]]; given {
			delete(options, name[1:])
			return value
		}
		if value, given := w.set[name[1:]]; given || name == ":output" {
			return value
		}
		e.Warnings = append(e.Warnings, name+" is not set in this file: fill it in")
		return name
	})
	return strings.Join(strings.Fields(filled), " ")
}

// every reads "every FREQ, at: TIMES do", and the task in the same line if there
// is one.
func (w *wheneverReader) every(s []token) *frequency {
	f := &frequency{line: s[0].line}
	do := slices.IndexFunc(s, func(t token) bool { return isWordToken(t, "do") || t.kind == 'p' && t.text == "{" })
	if do < 0 {
		w.refuse(f.line, original(s), "the tasks are missing: every … do")
		return nil
	}
	f.original = original(s[:do])
	parts := split(s[1:do])
	if len(parts) == 0 {
		f.problem = "how often is missing"
	} else {
		f.often = parts[0]
	}
	for _, part := range parts[min(1, len(parts)):] {
		name, value := option(part)
		switch name {
		case "at":
			f.at = value
		case "":
			f.problem = "this is not an option: " + original(part)
		case "roles":
			f.warnings = append(f.warnings, "roles chose the servers; here any worker that has the kind's handler runs the job")
		case "description":
			f.description = describe(value)
		default:
			f.warnings = append(f.warnings, "the option "+original(part)+" is not carried over")
		}
	}
	f.resolve(w.hours24)
	if f.problem != "" {
		w.refuse(f.line, f.original, "%s", f.problem)
	}
	rest := s[do+1:]
	closed := len(rest) > 0 && (isWordToken(rest[len(rest)-1], "end") || rest[len(rest)-1].text == "}")
	if closed {
		rest = rest[:len(rest)-1]
	}
	if len(rest) > 0 {
		w.task(f, rest)
	}
	if closed {
		return nil
	}
	return f
}

// split cuts tokens at the commas outside brackets, and drops round ones around all.
func split(s []token) (parts [][]token) {
	if len(s) > 1 && s[0].text == "(" && s[0].kind == 'p' && s[len(s)-1].text == ")" {
		s = s[1 : len(s)-1]
	}
	depth, from := 0, 0
	for i, t := range s {
		if t.kind != 'p' {
			continue
		}
		switch t.text {
		case "[", "(":
			depth++
		case "]", ")":
			depth--
		case ",":
			if depth == 0 {
				parts, from = append(parts, s[from:i]), i+1
			}
		}
	}
	if from < len(s) {
		parts = append(parts, s[from:])
	}
	return parts
}

// option reads "name: value" and ":name => value".
func option(s []token) (name string, value []token) {
	switch {
	case len(s) > 1 && s[0].kind == 'k':
		return s[0].text, s[1:]
	case len(s) > 2 && s[0].kind == ':' && s[1].text == "=>":
		return s[0].text, s[2:]
	}
	return "", nil
}

// task reads "runner "Model.task"" and its like.
func (w *wheneverReader) task(f *frequency, s []token) {
	if f.problem != "" {
		return // said once, for all tasks
	}
	name, parts := s[0], split(s[1:])
	template, known := w.types[name.text]
	if name.kind != 'i' || !known || len(parts) == 0 || len(parts[0]) != 1 || parts[0][0].kind != '"' {
		w.refuse(name.line, original(s), "this is not a task: write, for example, runner \"Model.task\"")
		return
	}
	what := parts[0][0].text
	e := Entry{Line: name.line, Original: f.original + ": " + original(s), Expression: f.expression, Warnings: slices.Clone(f.warnings), Description: f.description}
	options := e.optionsOf(parts[1:])
	switch name.text {
	case "runner", "rake":
		e.Kind = Snake(strings.SplitN(what, "(", 2)[0])
		if e.Kind == "" || strings.ContainsAny(what, "(\n;") {
			e.Warnings = append(e.Warnings, "the code is not carried over; write it into the handler of "+e.Kind)
		}
		if task, arguments, found := strings.Cut(what, "["); found && name.text == "rake" {
			e.Kind = Snake(task)
			args, err := json.Marshal(map[string][]string{"args": strings.Split(strings.TrimSuffix(arguments, "]"), ",")})
			if err != nil {
				w.refuse(name.line, original(s), "%v", err)
				return
			}
			e.Args = args
		}
	default:
		if err := e.setCommand(w.command(&e, template, what, options)); err != nil {
			w.refuse(name.line, original(s), "%v", err)
			return
		}
	}
	if text, given := options["description"]; given {
		e.Description = text
		delete(options, "description")
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		e.Warnings = append(e.Warnings, fmt.Sprintf("the option %s: %q is not carried over", key, options[key]))
	}
	w.add(e)
}

// optionsOf reads the options of a task whose values are texts, and warns of others.
func (e *Entry) optionsOf(parts [][]token) map[string]string {
	options := map[string]string{}
	for _, part := range parts {
		key, value := option(part)
		if key == "" || len(value) != 1 || value[0].kind == '#' {
			e.Warnings = append(e.Warnings, "the option "+original(part)+" is not carried over")
			continue
		}
		options[key] = describe(value)
	}
	return options
}

// describe makes one line of a text.
func describe(value []token) string {
	if len(value) != 1 {
		return ""
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(value[0].text, `\n`, " ")), " ")
}
