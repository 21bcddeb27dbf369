package csvreport

import (
	"encoding/csv"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// collector keeps every record as strings.
type collector struct {
	cells   []string
	records [][]string
	lines   []int64
}

func (c *collector) cell(text []byte) { c.cells = append(c.cells, string(text)) }

func (c *collector) record(line int64, cells int) error {
	if cells != len(c.cells) {
		return errors.New("the number of cells is not the number of calls")
	}
	c.records, c.lines = append(c.records, c.cells), append(c.lines, line)
	c.cells = nil
	return nil
}

// split cuts the text in pieces of n bytes.
func split(text string, separator byte, n int) (*collector, error) {
	c := &collector{}
	s := newSplitter(separator, c)
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		text = text[len(piece):]
		if err := s.write([]byte(piece)); err != nil {
			return c, err
		}
	}
	return c, s.close()
}

func TestSplitter(t *testing.T) {
	for text, want := range map[string][][]string{
		"":                              nil,
		"\n\r\n\r\r\n":                  nil,
		"a":                             {{"a"}},
		"a\rb\nc\r\nd":                  {{"a"}, {"b"}, {"c"}, {"d"}},
		"a,b\n\n\nc,\n":                 {{"a", "b"}, {"c", ""}},
		",\n,":                          {{"", ""}, {"", ""}},
		`""`:                            {{""}},
		"\"\"\n\"\",\"\"\r\"\"\"\"\"\"": {{""}, {"", ""}, {`""`}},
		"\"a,\n\"\"b\"\"\r\n\",c\n":     {{"a,\n\"b\"\r\n", "c"}},
		" a , b ":                       {{" a ", " b "}},
		"ä;€,ß":                         {{"ä;€", "ß"}},
	} {
		for n := 1; n <= len(text)+1; n++ {
			c, err := split(text, ',', n)
			if err != nil || !reflect.DeepEqual(c.records, want) {
				t.Errorf("%q in pieces of %d: %q, %v; want %q", text, n, c.records, err, want)
			}
		}
	}
}

func TestSplitterCountsLines(t *testing.T) {
	const text = "a\r\n\"b\r\nb\rb\n\",\"\n\"\r\rc\r\n\n\"d\r\"\nd"
	want := []int64{1, 2, 8, 10, 12}
	for n := 1; n <= len(text); n++ {
		if c, err := split(text, ',', n); err != nil || !reflect.DeepEqual(c.lines, want) {
			t.Errorf("in pieces of %d: lines %v, %v; want %v", n, c.lines, err, want)
		}
	}
}

// FuzzSplitter compares with encoding/csv, which knows no lone CR as a line end and turns CRLF inside quotes into LF.
func FuzzSplitter(f *testing.F) {
	f.Add("a,b\r\n\"1\n2\",\"3\"\"4\"\n\n5,6", byte(','), 3)
	f.Add("a;\"b;c\"\n;\n\"\"", byte(';'), 1)
	f.Add("a\"b\n", byte(','), 2)
	f.Add("\"a\"b,c", byte(','), 1)
	f.Add("\"open,\r\n", byte('\t'), 4)
	for _, c := range accepted {
		f.Add(c.file, c.want.Separator, 5)
	}
	for _, c := range refused {
		if len(c.file) < 1000 {
			f.Add(c.file, byte(','), 5)
		}
	}
	f.Fuzz(func(t *testing.T, text string, separator byte, n int) {
		if !strings.ContainsRune(",;\t", rune(separator)) || n < 1 || len(text) > MaxColumns {
			return
		}
		got, err := split(text, separator, n)
		whole, wholeErr := split(text, separator, len(text)+1)
		if !reflect.DeepEqual(got, whole) || !reflect.DeepEqual(err, wholeErr) {
			t.Fatalf("in pieces of %d: %q, %v; whole: %q, %v", n, got.records, err, whole.records, wholeErr)
		}
		if strings.Contains(strings.ReplaceAll(text, "\r\n", "\n"), "\r") {
			return
		}
		oracle := csv.NewReader(strings.NewReader(text))
		oracle.Comma, oracle.FieldsPerRecord = rune(separator), -1
		want, oracleErr := oracle.ReadAll()
		if (err == nil) != (oracleErr == nil) {
			t.Fatalf("error %v; encoding/csv says %v", err, oracleErr)
		}
		if err != nil {
			var parse *csv.ParseError
			var mine *Error
			if errors.As(oracleErr, &parse) && errors.As(err, &mine) && mine.Line != int64(parse.StartLine) {
				t.Errorf("%v; encoding/csv says it starts on line %d", err, parse.StartLine)
			}
			return
		}
		for _, record := range got.records {
			for i := range record {
				record[i] = strings.ReplaceAll(record[i], "\r\n", "\n")
			}
		}
		if !reflect.DeepEqual(got.records, want) {
			t.Errorf("got %q, encoding/csv %q", got.records, want)
		}
	})
}
