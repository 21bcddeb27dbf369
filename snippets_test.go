package offstage_test

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"testing"
)

func TestSnippets(t *testing.T) { checkGate(t, staleSnippets) }

// snippet is a comment in Markdown that names a file, and perhaps the code below it.
var snippet = regexp.MustCompile("(?m)^<!-- (\\S+\\.go) -->\n(?:```go\n((?s:.*?))```\n)?")

// staleSnippets finds code in Markdown that is no longer the file that it shows:
// the compiler sees only the file.
func staleSnippets(w *workTree) []string {
	var found []string
	for name, text := range w.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, s := range snippet.FindAllStringSubmatch(text, -1) {
			if code, there := w.texts[s[1]]; !there || code != s[2] {
				found = append(found, fmt.Sprintf("%s: the code below <!-- %s --> is not that file's", name, s[1]))
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestSnippetGateRefuses(t *testing.T) {
	page := func(text string) map[string]string {
		return map[string]string{"a.md": "Run this:\n\n" + text, "x/main.go": "package main\n"}
	}
	checkRefusals(t, staleSnippets, []refused{
		{page("<!-- x/main.go -->\n```go\npackage main\n```\nAnd then.\n"), ""},
		{page("<!-- x/main.go -->\n```go\npackage x\n```\n"), "a.md: the code below <!-- x/main.go -->"},
		{page("<!-- x/main.go -->\nNothing.\n"), "a.md: the code below <!-- x/main.go -->"},
		{page("<!-- y/main.go -->\n```go\npackage main\n```\n"), "a.md: the code below <!-- y/main.go -->"},
	})
}
