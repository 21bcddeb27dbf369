package csvreport

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzValidator holds the Validator to what can be said in a few lines about any file: its answer does not depend on the
// pieces, a plain UTF-8 file that it accepts has no forbidden character, and Analyze agrees about everything that the
// Validator looks at.
func FuzzValidator(f *testing.F) {
	for _, c := range accepted {
		f.Add([]byte(c.file), 3)
	}
	for _, c := range refused {
		if len(c.file) < 1000 {
			f.Add([]byte(c.file), 3)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, n int) {
		if n < 1 {
			return
		}
		format, err := checkPieces(string(file), n)
		whole, wholeErr := Check(bytes.NewReader(file))
		if !reflect.DeepEqual(err, wholeErr) || err == nil && format != whole {
			t.Fatalf("in pieces of %d: %+v, %v; whole: %+v, %v", n, format, err, whole, wholeErr)
		}
		_, analyzeErr := Analyze(t.Context(), bytes.NewReader(file), nil)
		if err != nil {
			asError(t, err)
			if analyzeErr == nil {
				t.Fatalf("refused with %q, yet Analyze reads it", err)
			}
			return
		}
		if format.Columns < 1 || !strings.Contains(",;\t", string(rune(format.Separator))) {
			t.Errorf("accepted as %+v", format)
		}
		if format.Encoding == UTF8 {
			onlyAllowed(t, file)
		}
		if analyzeErr != nil && asError(t, analyzeErr).Byte != 0 {
			t.Errorf("accepted, yet Analyze finds a forbidden byte: %v", analyzeErr)
		}
	})
}

func onlyAllowed(t *testing.T, file []byte) {
	t.Helper()
	if !utf8.Valid(file) {
		t.Errorf("accepted invalid UTF-8")
	}
	for i, r := range string(file) {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			t.Errorf("accepted U+%04X at %d", r, i)
		}
	}
}

// FuzzAnalyze checks that any file gives either a report that is sound and can be shown, or an *Error.
func FuzzAnalyze(f *testing.F) {
	for _, c := range accepted {
		f.Add([]byte(c.file))
	}
	f.Add([]byte("a,b\n1.5,-2\n,\" 3\"\n.5,99999999999999999999.125\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Analyze(t.Context(), bytes.NewReader(file), nil)
		if err != nil {
			asError(t, err)
			return
		}
		text, err := json.Marshal(r.Report)
		if err != nil || len(text) > MaxReport || r.Rows < 1 {
			t.Fatalf("%d rows, %d bytes of JSON, %v", r.Rows, len(text), err)
		}
		for _, c := range r.Columns {
			if c.Count < 1 || c.Count > r.Rows {
				t.Errorf("%d rows, yet %+v", r.Rows, c)
			}
		}
		if err := WriteHTML(io.Discard, r, string(file)); err != nil {
			t.Error(err)
		}
	})
}
