package importing

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// pair is one key of a YAML mapping.
type pair struct {
	key  string // without the colon of a Ruby symbol
	line int
	node ast.Node
}

// yaml reads the schedules of a YAML file.
func (r *reader) yaml(format string, data []byte) error {
	if strings.Contains(string(data), "<%") {
		return fmt.Errorf("the file has ERB in it, which is Ruby code and is not executed: render it first")
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return fmt.Errorf("this is not YAML: %w", err)
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil
	}
	for _, entry := range entriesOf(format, pairs(file.Docs[0].Body)) {
		var fields map[string]any
		if err := yaml.NodeToValue(entry.node, &fields); err != nil || fields == nil {
			r.refuse(entry.line, entry.key, "this is not a schedule: a mapping with class and when it is due")
			continue
		}
		r.yamlEntry(format, entry, plainKeys(fields))
	}
	return nil
}

// pairs lists what a mapping has; nil if the node is none.
func pairs(node ast.Node) (list []pair) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.AnchorNode:
		return pairs(n.Value)
	}
	for _, v := range values {
		key := strings.Trim(v.Key.String(), `"'`)
		list = append(list, pair{strings.TrimPrefix(key, ":"), v.Key.GetToken().Position.Line, v.Value})
	}
	return list
}

func find(list []pair, key string) (ast.Node, bool) {
	for _, p := range list {
		if p.key == key {
			return p.node, true
		}
	}
	return nil, false
}

// entriesOf finds the schedules in a file: below :scheduler: and :schedule:, or below
// an environment of Solid Queue's, or at the top.
func entriesOf(format string, top []pair) []pair {
	switch format {
	case "sidekiq-scheduler":
		if node, found := find(top, "scheduler"); found {
			top = pairs(node)
		}
		if node, found := find(top, "schedule"); found {
			return pairs(node)
		}
	case "solid-queue":
		if node, found := find(top, "production"); found {
			return pairs(node)
		}
		if len(top) == 1 && !isSchedule(top[0].node) {
			return pairs(top[0].node)
		}
	}
	return top
}

func isSchedule(node ast.Node) bool {
	_, found := find(pairs(node), "schedule")
	return found
}

func plainKeys(fields map[string]any) map[string]any {
	plain := map[string]any{}
	for key, value := range fields {
		plain[strings.TrimPrefix(key, ":")] = value
	}
	return plain
}

// known are the fields that say something here; others are named in a warning.
var known = map[string]bool{
	"cron": true, "every": true, "interval": true, "at": true, "in": true, "schedule": true, "class": true, "klass": true, "command": true,
	"queue": true, "args": true, "description": true, "enabled": true, "status": true, "priority": true,
}

func (r *reader) yamlEntry(format string, entry pair, fields map[string]any) {
	e := Entry{Line: entry.line, Name: entry.key, Queue: textOf(fields, "queue"), Description: textOf(fields, "description")}
	class := textOf(fields, "class", "klass")
	if class == "" {
		class = entry.key
	}
	e.Kind = Snake(class)
	if command := textOf(fields, "command"); command != "" {
		e.Kind = Snake(entry.key)
		e.Warnings = append(e.Warnings, "the command is Ruby code and is not carried over; write it into the handler of "+e.Kind)
	}
	e.Off = fields["enabled"] == false || textOf(fields, "status") == "disabled"
	if args, given := fields["args"]; given {
		encoded, err := json.Marshal(map[string]any{"args": args})
		if err != nil {
			r.refuse(entry.line, entry.key, "its arguments cannot be written as JSON: %v", err)
			return
		}
		e.Args = encoded
	}
	if priority, given := fields["priority"]; given {
		e.Warnings = append(e.Warnings, fmt.Sprintf("the priority %v is not carried over: here 0 is the first and 9 the last", priority))
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if !known[key] {
			e.Warnings = append(e.Warnings, "the option "+key+" is not carried over")
		}
	}
	if problem := e.due(format, fields); problem != "" {
		r.refuse(entry.line, entry.key, "%s", problem)
		return
	}
	e.Original = entry.key + ": " + e.Original
	r.add(e)
}

// due reads when an entry is due, and says what is wrong with it.
func (e *Entry) due(format string, fields map[string]any) (problem string) {
	for _, key := range []string{"cron", "schedule", "every", "interval", "at", "in"} {
		value, given := fields[key]
		if !given {
			continue
		}
		if list, is := value.([]any); is && len(list) > 0 {
			value = list[0]
			e.Warnings = append(e.Warnings, "the options of "+key+" are not carried over")
		}
		text := strings.TrimSpace(fmt.Sprint(value))
		e.Original, e.Expression = key+" "+text, text
		switch key {
		case "cron", "schedule":
			cron := strings.Fields(text)
			if last := len(cron) - 1; last >= 5 && strings.Trim(cron[last], "0123456789*,-/?#L") != "" {
				cron = cron[:last] // a zone
			}
			if len(cron) >= 5 {
				e.Warnings = append(e.Warnings, unevenFields(cron[len(cron)-5:])...)
			}
		case "every", "interval":
			e.Expression = "every " + text
			e.Warnings = append(e.Warnings, format+" counts anew in each process and from each start; here all count from when the schedule is made")
			if key == "interval" {
				e.Warnings = append(e.Warnings, "an interval there begins when the job before has ended; here it goes from tick to tick (see --overlap)")
			}
		default:
			return key + " runs once: enqueue a job for that time"
		}
		return ""
	}
	return "it does not say when it is due"
}

func textOf(fields map[string]any, keys ...string) string {
	for _, key := range keys {
		if value, given := fields[key]; given && value != nil {
			return strings.TrimSpace(fmt.Sprint(value))
		}
	}
	return ""
}
