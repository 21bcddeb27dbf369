package importing

import (
	"encoding/json"
	"slices"
	"strings"
)

// whenever reads the declarative part of a schedule.rb: every … do, tasks, end.
func (r *reader) whenever(text string) {
	w := &wheneverReader{reader: r, types: map[string]bool{"command": true, "script": true, "runner": true, "rake": true}}
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
			w.types[s[1].text] = true
			w.ignore(first.line, original(s), "its tasks are kept as commands")
		default:
			w.refuse(first.line, original(s), "Ruby code is not executed: write what it makes")
			skipping = max(opens(s), 0)
		}
	}
}

type wheneverReader struct {
	*reader
	types   map[string]bool
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
	}
	w.ignore(s[0].line, original(s), "a setting of whenever's; give it to the handler")
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
	if name.kind != 'i' || !w.types[name.text] || len(parts) == 0 || len(parts[0]) != 1 || parts[0][0].kind != '"' {
		w.refuse(name.line, original(s), "this is not a task: write, for example, runner \"Model.task\"")
		return
	}
	what := parts[0][0].text
	e := Entry{Line: name.line, Original: f.original + ": " + original(s), Expression: f.expression, Warnings: slices.Clone(f.warnings)}
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
		if name.text != "command" {
			what = name.text + " " + what
		}
		if err := e.setCommand(what); err != nil {
			w.refuse(name.line, original(s), "%v", err)
			return
		}
	}
	for _, part := range parts[1:] {
		switch key, value := option(part); {
		case key == "description" && len(value) == 1:
			e.Description = value[0].text
		default:
			e.Warnings = append(e.Warnings, "the option "+original(part)+" is not carried over")
		}
	}
	w.add(e)
}
