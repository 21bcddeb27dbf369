package csvreport

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxCharted is the most columns that the chart shows; the table below it has them all.
const maxCharted = 60

// chartWidth is the width of a bar in the units of its SVG.
const chartWidth = 1000

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// WriteHTML writes the analysis as one HTML page that needs no other file, no script and no network: a chart of each
// numeric column's course along the file, or of its range where there is no course, and a table of all figures. The
// title may be any text. The error is w's.
func WriteHTML(w io.Writer, r Analysis, title string) error {
	data := pageData{Title: title, Rows: group(strconv.FormatInt(r.Rows, 10)), Columns: len(r.Columns)}
	if data.Title == "" {
		data.Title = "Report"
	}
	for i, c := range r.Columns {
		f := pageColumn{Column: c, Bar: bar(c)}
		if i < len(r.Courses) && i < maxCharted {
			f.Course = r.Courses[i].draw(bounds(c))
		}
		if f.Name == "" {
			f.Name = "(no name)"
		}
		data.Table = append(data.Table, f)
	}
	data.Chart = data.Table[:min(len(data.Table), maxCharted)]
	if err := page.Execute(w, data); err != nil {
		return fmt.Errorf("write report page: %w", err)
	}
	return nil
}

type pageData struct {
	Title   string
	Rows    string
	Columns int
	Chart   []pageColumn
	Table   []pageColumn
}

type pageColumn struct {
	Column
	Bar    pageBar
	Course pageCourse // drawn instead of the bar, unless it is empty
}

// pageBar places the marks of one column between its minimum, 0, and its maximum, chartWidth.
type pageBar struct {
	Mean    float64
	Zero    float64
	ZeroUp  float64 // where 0 stands in a course, from its top
	HasZero bool    // 0 lies inside the range
}

// bounds returns a column's minimum and maximum; a number beyond float64 is infinite.
func bounds(c Column) (low, high float64) {
	low, _ = c.Min.Float64()
	high, _ = c.Max.Float64()
	return low, high
}

func bar(c Column) pageBar {
	low, high := bounds(c)
	mean, _ := c.Mean.Float64()
	place := func(v float64) float64 { return math.Round(within(low, v, high)*chartWidth*10) / 10 }
	zero := place(0)
	return pageBar{Mean: place(mean), Zero: zero, ZeroUp: courseHeight - zero/chartWidth*courseHeight, HasZero: low < 0 && high > 0}
}

// Readable returns the number for people: with thousands separated and at most 6 digits behind the point, or as many
// as show 6 digits of a small number.
func (pageColumn) Readable(n json.Number) string {
	text := n.String()
	if strings.ContainsAny(text, "eE") {
		if v, err := n.Float64(); err == nil {
			return strconv.FormatFloat(v, 'g', 7, 64)
		}
		return text
	}
	_, fraction, _ := strings.Cut(text, ".")
	places := 6
	if v, err := n.Float64(); err == nil && v != 0 && math.Abs(v) < 1 {
		places += int(-math.Floor(math.Log10(math.Abs(v)))) - 1
	}
	if r, ok := new(big.Rat).SetString(text); ok && len(fraction) > places {
		text = strings.TrimRight(r.FloatString(places), "0")
	}
	return group(strings.TrimSuffix(text, "."))
}

// Counted returns the number of numbers for people.
func (c pageColumn) Counted() string { return group(strconv.FormatInt(c.Count, 10)) }

// group separates the thousands of a plain decimal number by commas.
func group(text string) string {
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, fraction, found := strings.Cut(text, ".")
	var b strings.Builder
	b.WriteString(sign)
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(whole[i])
	}
	if found {
		b.WriteString("." + fraction)
	}
	return b.String()
}
