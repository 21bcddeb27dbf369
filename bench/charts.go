package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
)

// writeCharts writes one SVG file per scenario: a bar for each system, as long
// as its median, with a line from its least to its greatest round.
func (r *results) writeCharts(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, key := range r.order {
		path := filepath.Join(folder, strings.ReplaceAll(key, "/", "-")+".svg")
		if err := os.WriteFile(path, []byte(r.chart(key)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// The measures of a chart, in pixels.
const (
	chartWidth = 720
	nameWidth  = 150
	barsWidth  = 430
	barHeight  = 18
	rowHeight  = 26
	headHeight = 44
)

func (r *results) chart(key string) string {
	t := r.tasks[key]
	var rows strings.Builder
	most, n := 0.0, 0
	for _, one := range r.found[key] {
		most = max(most, one.Most)
	}
	for _, s := range t.systems {
		if one := r.found[key][s.name]; one != nil && most > 0 {
			writeBar(&rows, s.name, one, barsWidth/most, headHeight+n*rowHeight)
			n++
		}
	}
	better := "more is better"
	if t.low {
		better = "less is better"
	}
	title := html.EscapeString(fmt.Sprintf("%s: %s", key, t.what))
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12" role="img">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="8" y="18" font-size="14" font-weight="bold">%s</text>
<text x="8" y="35" fill="#555555">%s, %s; median, line from the least to the greatest round</text>
%s</svg>
`, chartWidth, headHeight+n*rowHeight+8, title, title, html.EscapeString(t.unit), better, rows.String())
}

func writeBar(rows *strings.Builder, name string, one *result, scale float64, top int) {
	color := "#9aa5b1"
	switch {
	case strings.HasPrefix(name, "offstage"):
		color = "#2563eb"
	case name == "floor":
		color = "#cbd2d9"
	}
	middle := top + barHeight/2
	fmt.Fprintf(rows, `<text x="%d" y="%d" text-anchor="end">%s</text>
<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>
<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1f2933"/>
<text x="%.1f" y="%d">%s</text>
`, nameWidth-8, middle+4, html.EscapeString(name),
		nameWidth, top, one.Median*scale, barHeight, color,
		nameWidth+one.Least*scale, middle, nameWidth+one.Most*scale, middle,
		nameWidth+one.Most*scale+8, middle+4, figure(one.Median))
}
