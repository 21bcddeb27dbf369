package importing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/BurntSushi/toml"
)

// ConfigFile writes what “offstage worker” needs to run the commands and addresses
// of the entries, in TOML. A command that needs a shell gets one, since its author
// wrote for one.
func ConfigFile(entries []Entry) ([]byte, error) {
	commands, destinations, schedules := map[string]any{}, map[string]any{}, map[string]any{}
	for _, e := range entries {
		if e.Runs() {
			continue
		}
		var args map[string]string
		if err := json.Unmarshal(e.Args, &args); err != nil {
			return nil, fmt.Errorf("line %d: %w", e.Line, err)
		}
		s := map[string]any{"expression": e.Expression, "zone": e.Zone, "description": "line " + fmt.Sprint(e.Line) + ": " + oneLine(e.Original)}
		if text := s["description"].(string); len(text) > 900 {
			s["description"] = strings.ToValidUTF8(text[:900], "")
		}
		if e.Kind == CommandKind {
			s["command"] = e.Name
			commands[e.Name] = map[string]any{"argv": argv(args["command"])}
		} else {
			base, rest, err := cutAddress(args["url"])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", e.Line, err)
			}
			s["destination"], s["path"] = e.Name, rest
			destinations[e.Name] = map[string]any{"url": base}
		}
		schedules[e.Name] = s
	}
	var b bytes.Buffer
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	err := encoder.Encode(map[string]any{"commands": commands, "destinations": destinations, "schedules": schedules})
	return b.Bytes(), err
}

// argv returns a command's program and arguments, or a shell's where the line uses
// what only a shell understands, or names no whole path.
func argv(line string) []string {
	words := strings.Fields(line)
	if strings.ContainsAny(line, "|&;<>()$`\\\"'*?[]#~=%!{}") || !path.IsAbs(words[0]) {
		return []string{"/bin/sh", "-c", line}
	}
	return words
}

// cutAddress cuts an address into its host and what is below.
func cutAddress(address string) (base, below string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return "", "", fmt.Errorf("%q is not an address that can be called", address)
	}
	below = strings.TrimPrefix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		below += "?" + u.RawQuery
	}
	return u.Scheme + "://" + u.Host + "/", below, nil
}
