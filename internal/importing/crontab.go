package importing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// crontab reads a user's crontab.
func (r *reader) crontab(text string) {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(strings.TrimSuffix(line, "\r"))
		switch {
		case line == "" || line[0] == '#':
		case r.setting(i+1, line):
		default:
			r.cronLine(i+1, line)
		}
	}
}

// setting reads NAME = value. Of all settings only CRON_TZ matters here.
func (r *reader) setting(line int, text string) bool {
	name, value, found := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	if !found || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != "" || name[0] <= '9' {
		return false
	}
	value = strings.Trim(strings.TrimSpace(value), `"'`)
	switch name {
	case "CRON_TZ":
		r.zone = value
	case "TZ":
		r.ignore(line, text, "TZ is the command's own, not the schedule's; give --tz or CRON_TZ if the times are meant in %s", value)
	default:
		r.ignore(line, text, "a setting of cron's; give it to the handler")
	}
	return true
}

// cronLine reads the fields and the command of an entry.
func (r *reader) cronLine(line int, text string) {
	fields := 5
	if text[0] == '@' {
		fields = 1
	}
	rest, words := text, []string(nil)
	for range fields {
		n := strings.IndexAny(rest, " \t")
		if n < 0 {
			r.refuse(line, text, "an entry has %d fields and a command", fields)
			return
		}
		words = append(words, rest[:n])
		rest = strings.TrimLeft(rest[n:], " \t")
	}
	e := Entry{Line: line, Expression: strings.Join(words, " ")}
	e.Original = e.Expression + " " + rest
	if fields == 5 {
		e.Warnings = unevenFields(words)
	}
	if err := e.setCommand(rest); err != nil {
		r.refuse(line, text, "%v", err)
		return
	}
	if user := strings.Fields(rest); slices.Contains([]string{"root", "www-data", "nobody", "daemon"}, user[0]) {
		e.Warnings = append(e.Warnings, "a system's crontab has a user before the command; "+user[0]+" is taken for the command here: remove it")
	}
	r.add(e)
}

// setCommand keeps a command, or the address that it fetches.
func (e *Entry) setCommand(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return fmt.Errorf("the command is missing")
	}
	if strings.Contains(strings.ReplaceAll(line, `\%`, ""), "%") {
		e.Warnings = append(e.Warnings, "a % of cron's ends the command; what follows is its input")
	}
	line = strings.ReplaceAll(line, `\%`, "%")
	e.Kind, e.Name = CommandKind, Snake(path.Base(mainWord(words)))
	key := "command"
	if url := fetched(words); url != "" {
		e.Kind, e.Name, key, line = HTTPKind, "get_"+Snake(strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")), "url", url
	}
	var args bytes.Buffer
	encoder := json.NewEncoder(&args)
	encoder.SetEscapeHTML(false) // a command is for people to read
	err := encoder.Encode(map[string]string{key: line})
	e.Args = bytes.TrimSpace(args.Bytes())
	return err
}

// mainWord returns the program that a command line is about: the first of its last
// part that is not one of the shell's own. If there is none it is the first word.
func mainWord(words []string) string {
	const own = " cd test [ [[ if then else fi do done command exec echo true sleep } "
	main, begins := words[0], true
	for _, word := range words {
		switch {
		case strings.Contains(" && || ; { ( then else do ", " "+word+" "):
			begins = true
		case begins && !strings.Contains(word, "="):
			if begins = false; !strings.Contains(own, " "+word+" ") {
				main = word
			}
		}
		if strings.HasSuffix(word, ";") {
			begins = true
		}
		if word == "|" {
			break
		}
	}
	return strings.Trim(main, ";")
}

// fetched returns the address of a command that only fetches it.
func fetched(words []string) (url string) {
	if name := path.Base(words[0]); name != "curl" && name != "wget" {
		return ""
	}
	for _, word := range words[1:] {
		word = strings.Trim(word, `"'`)
		switch {
		case strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://"):
			if url != "" {
				return ""
			}
			url = word
		case strings.ContainsAny(word, "|;&") && !strings.HasPrefix(word, ">") && !strings.Contains(word, ">&"):
			return ""
		case strings.HasPrefix(word, "-X") || strings.HasPrefix(word, "-d") || strings.HasPrefix(word, "--data") || strings.HasPrefix(word, "--request") || strings.HasPrefix(word, "--post"):
			return ""
		}
	}
	if _, _, err := cutAddress(url); err != nil {
		return ""
	}
	return url
}

// fieldSizes are how many values the fields minute, hour, day and month have, and
// what a step of theirs would be as an interval.
var fieldSizes = []struct {
	size       int
	what, unit string
}{{60, "hour", "minutes"}, {24, "day", "hours"}, {31, "month", "days"}, {12, "year", "months"}}

// unevenFields says where a cron expression may not do what it seems to say: steps
// that do not go on evenly when the next hour, day, month or year begins, and two
// kinds of days.
func unevenFields(fields []string) (warnings []string) {
	for i, f := range fieldSizes {
		_, text, found := strings.Cut(fields[i], "*/")
		step, err := strconv.Atoi(text)
		if !found || err != nil || step < 2 || step < f.size && f.size%step == 0 && i != 2 {
			continue
		}
		if step >= f.size {
			warnings = append(warnings, fmt.Sprintf("%s means once in each %s; every %d %s would be “every %d %s”", fields[i], f.what, step, f.unit, step, f.unit))
			continue
		}
		warnings = append(warnings, fmt.Sprintf("%s begins anew with each %s, so the last gap is another; evenly it would be “every %d %s”", fields[i], f.what, step, f.unit))
	}
	// Some have texts here that are no cron expression: those have a number or a * as their days.
	if days, weekdays := fields[2], fields[4]; strings.Contains("0123456789L", days[:1]) && !strings.Contains("*?", weekdays[:1]) {
		warnings = append(warnings, fmt.Sprintf("cron runs it on either of the days, %s and %s; if both were meant, write %s&", days, weekdays, strings.Join(fields, " ")))
	}
	return warnings
}
