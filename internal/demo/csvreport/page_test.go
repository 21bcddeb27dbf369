package csvreport

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func writePage(t *testing.T, r Report, title string) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, Analysis{Report: r}, title); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.String())
	return b.String()
}

// wellFormed fails the test if tags are left open or crossed.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the page is not well-formed: %v\n%s", err, text)
		}
	}
}

func TestPageShowsTheFigures(t *testing.T) {
	r, err := analyze(t, "temp,level\n"+strings.Repeat("-10.5,1000000\n30,3000000\n", 617))
	if err != nil {
		t.Fatal(err)
	}
	text := writePage(t, r, "july.csv")
	for _, want := range []string{
		"<title>july.csv</title>", "1,234 rows, 2 numeric columns", "temp: from -10.5 to 30, mean 9.75", "2,468,000,000",
		`class="mean" x1="500"`, `class="zero" x1="259.3"`, "prefers-color-scheme: dark", `name="viewport"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://", "url(", "@import", "The chart shows the first"} {
		if strings.Contains(text, never) {
			t.Errorf("the page has %q", never)
		}
	}
}

func TestPageEscapes(t *testing.T) {
	const evil = `</title><script>alert("x")</script>`
	text := writePage(t, Report{Rows: 1, Columns: []Column{{Name: evil, Count: 1, Sum: "1", Min: "1", Max: "1", Mean: "1"}}}, evil)
	if strings.Contains(text, "<script") {
		t.Errorf("a name reaches the page as markup:\n%s", text)
	}
}

func TestPageCapsTheChart(t *testing.T) {
	r := Report{Rows: 1}
	for i := range 3_000 {
		r.Columns = append(r.Columns, Column{Name: fmt.Sprint("c", i), Count: 1, Sum: "1", Min: "1", Max: "1", Mean: "1"})
	}
	text := writePage(t, r, "wide")
	if got := strings.Count(text, "<svg"); got != maxCharted {
		t.Errorf("%d bars, want %d", got, maxCharted)
	}
	if got := strings.Count(text, `<th scope="row">`); got != 3_000 {
		t.Errorf("%d table rows, want 3000", got)
	}
	if !strings.Contains(text, "The chart shows the first 60 of 3000 numeric columns") {
		t.Error("the page does not say that the chart is cut")
	}
}

func TestPageWithoutNumbers(t *testing.T) {
	text := writePage(t, Report{Rows: 1, Columns: []Column{}}, "")
	for _, want := range []string{"<title>Report</title>", "1 row, 0 numeric columns", "No column holds only numbers"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestPageReturnsTheWritersError(t *testing.T) {
	r, w := io.Pipe()
	broken := errors.New("gone")
	r.CloseWithError(broken)
	if err := WriteHTML(w, Analysis{}, "x"); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestReadable(t *testing.T) {
	for number, want := range map[json.Number]string{
		"0": "0", "7": "7", "-999": "-999", "1000": "1,000", "-1234567.5": "-1,234,567.5", "0.1": "0.1",
		"1.66666666666666667": "1.666667", "1234.000000001": "1,234", "0.000333333333333333333": "0.000333333",
		"1e-19": "1e-19", "1.2345678901e+40": "1.234568e+40", "9e999": "9e999", "-0.0000001": "-0.0000001",
	} {
		if got := (pageColumn{}).Readable(number); got != want {
			t.Errorf("%s: got %q, want %q", number, got, want)
		}
	}
}

func TestBarSurvivesAnyNumbers(t *testing.T) {
	for _, c := range []Column{
		{Min: "1", Max: "1", Mean: "1"},
		{Min: "-1e999", Max: "1e999", Mean: "0"},
		{Min: "-1.7e308", Max: "1.7e308", Mean: "0"},
	} {
		if got := bar(c).Mean; got != chartWidth/2 {
			t.Errorf("%+v: the mean stands at %v, want the middle", c, got)
		}
	}
}
