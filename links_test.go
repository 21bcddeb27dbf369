package offstage_test

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) { checkGate(t, brokenLinks) }

// What the gate reads of Markdown.
var (
	mdCode    = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	mdLink    = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ +(.*?) *#*$`)
	elsewhere = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// brokenLinks finds links in Markdown to files, or headings of files, that are
// not there.
func brokenLinks(w *workTree) []string {
	var found []string
	for name, text := range w.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		blank := func(code string) string { return strings.Repeat("\n", strings.Count(code, "\n")) }
		for n, line := range strings.Split(mdCode.ReplaceAllStringFunc(text, blank), "\n") {
			for _, link := range mdLink.FindAllStringSubmatch(line, -1) {
				if target := link[1]; !elsewhere.MatchString(target) && !w.resolves(name, target) {
					found = append(found, fmt.Sprintf("%s:%d: the link to %q leads nowhere", name, n+1, target))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// resolves reports whether a file's link to another, or to a heading, has an end.
func (w *workTree) resolves(from, target string) bool {
	file, heading, anchored := strings.Cut(target, "#")
	name := from
	if file != "" {
		name = path.Join(path.Dir(from), file)
	}
	if _, err := fs.Stat(w.fsys, name); err != nil {
		return false
	}
	if !anchored || path.Ext(name) != ".md" {
		return true
	}
	for _, h := range mdHeading.FindAllStringSubmatch(w.texts[name], -1) {
		if anchor(h[1]) == heading {
			return true
		}
	}
	return false
}

// anchor returns the name that a heading gets on the web page that is made of it.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestLinkGateRefuses(t *testing.T) {
	good := "# A page\n\n[b](docs/b.md) [there](docs/b.md#what-it-is) [here](#a-page)\n" +
		"[web](https://example.com/x) `[code](nowhere)`\n```\n[code](nowhere)\n```\n"
	page := func(text string) map[string]string {
		return map[string]string{"a.md": text, "docs/b.md": "[up](../a.md)\n## What it is?\n"}
	}
	checkRefusals(t, brokenLinks, []refused{
		{page(good), ""},
		{page("```\ncode\n```\n[c](docs/c.md)\n"), `a.md:4: the link to "docs/c.md" leads nowhere`},
		{page("[b](docs/b.md#what-it-was)"), `"docs/b.md#what-it-was" leads nowhere`},
		{page("[x](#nothing)"), `"#nothing" leads nowhere`},
		{page("![image](docs/b.png)"), `"docs/b.png" leads nowhere`},
		{page("[x](../outside.md)"), `"../outside.md" leads nowhere`},
	})
}
