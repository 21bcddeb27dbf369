package csvreport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// utf16File returns text as a UTF-16 file with its byte order mark.
func utf16File(order binary.AppendByteOrder, text string) string {
	file := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(text)) {
		file = order.AppendUint16(file, u)
	}
	return string(file)
}

// checkPieces validates the file in pieces of n bytes.
func checkPieces(file string, n int) (Format, error) {
	v := NewValidator()
	for len(file) > 0 {
		piece := file[:min(n, len(file))]
		file = file[len(piece):]
		if _, err := v.Write([]byte(piece)); err != nil {
			return Format{}, err
		}
	}
	err := v.Close()
	return v.Format(), err
}

// analyze is Analyze on a file in memory.
func analyze(t testing.TB, file string) (Report, error) {
	t.Helper()
	a, err := Analyze(t.Context(), strings.NewReader(file), nil)
	return a.Report, err
}

// asError fails the test unless err is an *Error.
func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	return e
}

// accepted files with their format.
var accepted = []struct {
	name, file string
	want       Format
}{
	{"comma", "a,b\n1,2\n", Format{UTF8, ',', 2}},
	{"semicolon", "a;b\n1;2\n", Format{UTF8, ';', 2}},
	{"tab", "a\tb\n1\t2\n", Format{UTF8, '\t', 2}},
	{"no line end at the end", "a,b\n1,2", Format{UTF8, ',', 2}},
	{"CRLF", "a,b\r\n1,2\r\n", Format{UTF8, ',', 2}},
	{"lone CR", "a,b\r1,2\r3,4", Format{UTF8, ',', 2}},
	{"byte order mark", "\ufeffa,b\n1,2\n", Format{UTF8, ',', 2}},
	{"UTF-16 little", utf16File(binary.LittleEndian, "a;ä😀\n1;2\n"), Format{UTF16LE, ';', 2}},
	{"UTF-16 big", utf16File(binary.BigEndian, "a\tä😀\r\n1\t2\r\n"), Format{UTF16BE, '\t', 2}},
	{"one column", "a\n1\n2\n", Format{UTF8, ',', 1}},
	{"one column of quoted text", "a\n\"x, y; z\"\n", Format{UTF8, ',', 1}},
	{"one column, a late semicolon", "a\nx\ny;z\n", Format{UTF8, ',', 1}},
	{"one empty quoted cell", "a\n\"\"\n", Format{UTF8, ',', 1}},
	{"blank lines", "\n\r\na,b\n\n1,2\n\n\n", Format{UTF8, ',', 2}},
	{"empty header cells", ",,\n,,\n", Format{UTF8, ',', 3}},
	{"the same name twice", "a,a\n1,2\n", Format{UTF8, ',', 2}},
	{"decimal commas", "a;b\n1,5;2,5\n", Format{UTF8, ';', 2}},
	{"decimal commas, commas in the header", "a, x;b\n1,5;2\n", Format{UTF8, ';', 2}},
	{"semicolons in comma cells", "a,b;c\n1,2\n", Format{UTF8, ',', 2}},
	{"more cells win", "a,b,c;d\n1,2,3;4\n", Format{UTF8, ',', 3}},
	{"separators in quotes", "\"a;b;c\",\"d;e;f\"\n\"1;2\",\"x\ty\tz\"\n", Format{UTF8, ',', 2}},
	{"line ends in quotes", "\"a\r\nb\",c\n\"1\n2\r3\",4\n", Format{UTF8, ',', 2}},
	{"doubled quotes", "\"a\"\"b\",c\n\"\"\"\",\"\"\"\"\"\"\n", Format{UTF8, ',', 2}},
	{"a broken record after the tenth", "a,b\n" + strings.Repeat("1,2\n", 10) + "1\n", Format{UTF8, ',', 2}},
	{"a letter cut by many pieces", "ä,ß\n€,😀\n", Format{UTF8, ',', 2}},
}

func TestValidatorAccepts(t *testing.T) {
	for _, c := range accepted {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1 << 20} {
				if got, err := checkPieces(c.file, n); err != nil || got != c.want {
					t.Errorf("in pieces of %d: %+v, %v; want %+v", n, got, err, c.want)
				}
			}
		})
	}
}

// refused files with the place and a word of the reason.
var refused = []struct {
	name, file string
	line, byte int64
	reason     string
}{
	{"empty", "", 1, 0, "empty"},
	{"only a byte order mark", "\ufeff", 1, 0, "empty"},
	{"only a UTF-16 mark", "\xff\xfe", 1, 0, "empty"},
	{"only line ends", "\n\r\n\r", 1, 0, "empty"},
	{"header only", "a,b\n", 2, 0, "no record"},
	{"header only, no line end", "a,b", 1, 0, "no record"},
	{"NUL", "a,b\n1,\x002\n", 2, 7, "NUL"},
	{"UTF-16 without a mark", "a\x00,\x00b\x00\n\x00", 1, 2, "byte order mark"},
	{"U+0000 in UTF-16", utf16File(binary.LittleEndian, "a,b\n1,\x00\n"), 2, 15, "NUL"},
	{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", 1, 3, "NUL"},
	{"a control character", "a,b\n1,\x0b\n", 2, 7, "U+000B"},
	{"DEL", "a,b\x7f\n1,2\n", 1, 4, "U+007F"},
	{"a C1 control character", "a,b\n1,\u0085\n", 2, 7, "U+0085"},
	{"a control character in quotes", "a,b\n1,\"\n\x1b\"\n", 3, 9, "U+001B"},
	{"Latin-1", "a,b\r\n1,\xe4\n", 2, 8, "UTF-8"},
	{"an encoded surrogate", "a,b\n1,\xed\xa0\x80\n", 2, 7, "UTF-8"},
	{"an overlong encoding", "a,b\n1,\xc0\xaf\n", 2, 7, "UTF-8"},
	{"cut in a letter", "a,b\n1,2\xe2\x82", 2, 8, "middle"},
	{"UTF-16 with an odd byte", utf16File(binary.LittleEndian, "a,b\n1,2") + "x", 2, 17, "middle"},
	{"UTF-16 cut in a pair", utf16File(binary.BigEndian, "a,b\n1,2") + "\xd8\x3d", 2, 17, "middle"},
	{"a high surrogate alone", utf16File(binary.BigEndian, "a,b\n1,2") + "\xd8\x3d\x00a", 2, 17, "surrogate"},
	{"a low surrogate alone", utf16File(binary.LittleEndian, "a,b\n1,2") + "\x00\xdc", 2, 17, "surrogate"},
	{"too few cells", "a,b,c\n1,2,3\n1,2\n", 3, 0, "2 cells, the header has 3"},
	{"too many cells", "a,b\n1,2\n\n1,2,3\n", 4, 0, "3 cells, the header has 2"},
	{"one cell", "a;b\n1\n", 2, 0, "1 cell, the header has 2"},
	{"a header of one cell", "a\n1;2\n", 2, 0, "2 cells, the header has 1"},
	{"one column, a late comma", "a\nx\ny,z\n", 3, 0, "2 cells, the header has 1"},
	{"the tenth record", "a,b\n" + strings.Repeat("1,2\n", 9) + "1\n", 11, 0, "1 cell"},
	{"a line of spaces", "a,b\n  \n", 2, 0, "1 cell"},
	{"a width error behind quoted lines", "a,b\n\"1\n\r\n\r2\",3\r\n4\n", 6, 0, "1 cell"},
	{"a quote inside a cell", "a,b\n1,2\"\n", 2, 0, "quote"},
	{"a quote behind a space", "a,b\n1, \"2\"\n", 2, 0, "quote"},
	{"text behind a quote", "a,b\n\"1\"2,3\n", 2, 0, "behind the closing quote"},
	{"an open quote", "a,b\n1,\"2\n3,4\n", 2, 0, "closing quote"},
	{"an open quote in the header", "a;\"b\n1;2\n", 1, 0, "closing quote"},
	{"a long record", "a,b\n1," + strings.Repeat("x", MaxRecord) + "\n", 2, 0, "longer than 1048576 bytes"},
	{"a long quoted record", "a,b\n1,\"" + strings.Repeat("x\n", MaxRecord/2), 2, 0, "longer than 1048576 bytes"},
	{"a wide header", strings.Repeat(",", MaxColumns) + "\n", 1, 0, "16384 cells"},
}

func TestValidatorRefuses(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1 << 30} {
				_, err := checkPieces(c.file, n)
				e := asError(t, err)
				if e.Line != c.line || e.Byte != c.byte || !strings.Contains(e.Reason, c.reason) {
					t.Errorf("in pieces of %d: %v; want line %d, byte %d, %q", n, e, c.line, c.byte, c.reason)
				}
			}
		})
	}
}

// Analyze alone refuses what the Validator refuses, for the same reason.
func TestAnalyzeRefusesTheSame(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			_, want := checkPieces(c.file, len(c.file)+1)
			_, err := analyze(t, c.file)
			if *asError(t, err) != *asError(t, want) {
				t.Errorf("Analyze: %v; Validator: %v", err, want)
			}
		})
	}
}

func TestValidatorKeepsItsAnswer(t *testing.T) {
	v := NewValidator()
	_, first := v.Write([]byte("a,b\n\x00"))
	n, second := v.Write([]byte("1,2\n"))
	if first == nil || second != first || n != 0 {
		t.Errorf("Write: %v, then %d, %v; want the same error again", first, n, second)
	}
	if err := v.Close(); err != first {
		t.Errorf("Close: %v; want %v", err, first)
	}
	if err := v.Close(); err != first {
		t.Errorf("Close again: %v; want %v", err, first)
	}
}

// A forbidden byte far behind the first records is found while the file passes, at its exact place.
func TestValidatorLooksAtTheWholeFile(t *testing.T) {
	const rows = 100_000
	head := "a,b\r\n" + strings.Repeat("1,ü\r\n", rows)
	_, err := Check(strings.NewReader(head + "1,\x01\r\n"))
	want := Error{Line: rows + 2, Byte: int64(len(head)) + 3, Reason: "the control character U+0001 is not allowed in a CSV"}
	if e := asError(t, err); *e != want {
		t.Errorf("got %v, want %v", e, &want)
	}
}

func TestCheckReturnsTheReadersError(t *testing.T) {
	broken := errors.New("broken disk")
	_, err := Check(io.MultiReader(strings.NewReader("a,b\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"line 3: 5 cells, the header has 7": {Line: 3, Reason: "5 cells, the header has 7"},
		"line 3, byte 9: bad":               {Line: 3, Byte: 9, Reason: "bad"},
		"bad":                               {Reason: "bad"},
	} {
		if e.Error() != want {
			t.Errorf("got %q, want %q", e.Error(), want)
		}
	}
}

func BenchmarkValidator(b *testing.B) {
	for name, file := range benchFiles() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if _, err := Check(bytes.NewReader(file)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
