package csvreport

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAnalyzeFigures(t *testing.T) {
	const text = "time,\"temp \"\"C\"\"\",note,level,gap\n" +
		"10:00,21.5,ok,-3,\n" +
		"10:01,,\"a,b\nc\",5,\"\"\n" +
		"10:02,\"20.25\",,1, \t\n"
	want := Report{Rows: 3, Columns: []Column{
		{Name: `temp "C"`, Count: 2, Sum: "41.75", Min: "20.25", Max: "21.5", Mean: "20.875"},
		{Name: "level", Count: 3, Sum: "3", Min: "-3", Max: "5", Mean: "1"},
	}}
	files := map[string]string{
		"UTF-8":         text,
		"CRLF":          strings.ReplaceAll(text, "\n", "\r\n"),
		"UTF-16 little": utf16File(binary.LittleEndian, text),
		"UTF-16 big":    utf16File(binary.BigEndian, text),
	}
	for name, file := range files {
		for _, r := range []io.Reader{strings.NewReader(file), iotest.OneByteReader(strings.NewReader(file)), iotest.DataErrReader(strings.NewReader(file))} {
			got, err := Analyze(t.Context(), r, nil)
			if err != nil || !reflect.DeepEqual(got.Report, want) {
				t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
			}
		}
	}
}

func TestAnalyzeAcceptsWhatTheValidatorAccepts(t *testing.T) {
	for _, c := range accepted {
		if strings.HasPrefix(c.name, "a broken record") {
			continue
		}
		if _, err := analyze(t, c.file); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A report keeps the JSON shape that the status URL promises, and survives it.
func TestReportJSON(t *testing.T) {
	for file, want := range map[string]string{
		"a,b\nx,y\n": `{"rows":1,"columns":[]}`,
		"a,b\n1,y\n": `{"rows":1,"columns":[{"name":"a","count":1,"sum":1,"min":1,"max":1,"mean":1}]}`,
	} {
		r, err := analyze(t, file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v; want %s", text, err, want)
		}
		var back Report
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("read back: %+v, %v; want %+v", back, err, r)
		}
	}
}

func TestAnalyzeNamesTheBrokenRecord(t *testing.T) {
	head := "a,b,c\n" + strings.Repeat("1,\"2\r\n2\",3\n", 50_000) // two lines each
	for tail, want := range map[string]string{
		"1,2\n":          "line 100002: 2 cells, the header has 3",
		"1,2,3\n1,2,3,4": "line 100003: 4 cells, the header has 3",
		"1,2\"2,3\n":     `line 100002: a quote (") inside a cell that is not quoted; quote the whole cell and double the quotes in it`,
		"1,\"2\n2\"2,3":  "line 100002: text behind the closing quote of a cell",
		"1,2,\"3\n\n":    "line 100002: the closing quote of a cell is missing",
		"1,2,\xff\n":     "line 100002, byte 550011: the text is not valid UTF-8; save the file as UTF-8",
	} {
		if _, err := Check(strings.NewReader(head + tail)); err != nil && !strings.Contains(want, "byte") {
			t.Errorf("%q: the validator refused a later record: %v", tail, err)
		}
		_, err := analyze(t, head+tail)
		if e := asError(t, err); e.Error() != want {
			t.Errorf("%q: got %q, want %q", tail, e, want)
		}
	}
}

func TestAnalyzeReportsProgress(t *testing.T) {
	file := strings.Repeat("1,2\n", 100_000)
	var seen []int64
	if _, err := Analyze(t.Context(), strings.NewReader(file), func(done int64) { seen = append(seen, done) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 3 || seen[len(seen)-1] != int64(len(file)) {
		t.Fatalf("progress %v, want several steps that end at %d", seen, len(file))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] <= seen[i-1] {
			t.Errorf("progress went from %d to %d", seen[i-1], seen[i])
		}
	}
}

func TestAnalyzeStops(t *testing.T) {
	shutdown := errors.New("shutdown")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := Analyze(ctx, &generator{rows: 1 << 30}, func(int64) { cancel(shutdown) })
	if !errors.Is(err, shutdown) {
		t.Errorf("got %v, want the context's cause", err)
	}
	broken := errors.New("broken disk")
	_, err = Analyze(t.Context(), io.MultiReader(strings.NewReader("a,b\n"), iotest.ErrReader(broken)), nil)
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestAnalyzeWideFiles(t *testing.T) {
	file := strings.Repeat("n,", 4_999) + "n\n" + strings.Repeat("1.5,", 4_999) + "1.5\n"
	r, err := analyze(t, file)
	if err != nil || len(r.Columns) != 5_000 {
		t.Fatalf("%d columns, %v; want 5000", len(r.Columns), err)
	}
	wide := strings.Repeat("n,", MaxColumns-1) + "n\n" + strings.Repeat("1.5,", MaxColumns-1) + "1.5\n"
	_, err = analyze(t, wide)
	if e := asError(t, err); !strings.Contains(e.Reason, "16384 numeric columns") {
		t.Errorf("got %v, want a refusal of the long report", e)
	}
}

// generator is a CSV of any length, made as it is read: a header and rows, then EOF.
type generator struct {
	rows   int
	next   int
	buffer bytes.Buffer
}

func (g *generator) Read(p []byte) (int, error) {
	for g.buffer.Len() < len(p) && g.next <= g.rows {
		if g.next == 0 {
			g.buffer.WriteString("id,value,\"name\",long\n")
		} else {
			fmt.Fprintf(&g.buffer, "%d,%d.%03d,\"device \"\"%d\"\"\",0.12345678901234567890123\n", g.next, g.next%97, g.next%1000, g.next%13)
		}
		g.next++
	}
	return g.buffer.Read(p)
}

// The whole way of an upload keeps its memory whatever the length: what is allocated for 11 MB is hardly more than for
// 1 MB, apart from the numbers too long for the fast path, which leave garbage but nothing that stays.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 11 MB")
	}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak := live(), uint64(0)
	blocks := 0
	v := NewValidator()
	r, err := Analyze(t.Context(), io.TeeReader(&generator{rows: 200_000}, v), func(done int64) {
		if blocks++; blocks%100 == 0 {
			peak = max(peak, live())
		}
	})
	if err != nil || r.Rows != 200_000 || len(r.Columns) != 3 {
		t.Fatalf("%d rows, %d columns, %v", r.Rows, len(r.Columns), err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if blocks < 150 || peak > before+2<<20 {
		t.Errorf("%d blocks; live memory grew from %d to %d bytes", blocks, before, peak)
	}
}

// Without long numbers the work per row allocates nothing.
func TestAnalyzeAllocatesNothingPerRow(t *testing.T) {
	allocations := func(rows int) float64 {
		file := []byte("a,b,c\n" + strings.Repeat("17,-2.25,\"some text\"\r\n", rows))
		return testing.AllocsPerRun(3, func() {
			if _, err := Analyze(context.Background(), bytes.NewReader(file), nil); err != nil {
				t.Error(err)
			}
		})
	}
	if few, many := allocations(5_000), allocations(50_000); many > few+10 {
		t.Errorf("%v allocations for 5,000 rows, %v for 50,000", few, many)
	}
}

func benchFiles() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	var plain, quoted, text bytes.Buffer
	plain.WriteString("time,device,temperature,humidity,battery\n")
	quoted.WriteString("\"time\",\"device\",\"temperature\",\"humidity\",\"battery\"\n")
	text.WriteString("name,remark,value\n")
	for plain.Len() < 8<<20 {
		a, b, c := random.Float64()*40, random.Float64()*100, random.IntN(100)
		fmt.Fprintf(&plain, "2024-05-01T12:00:00Z,device-%d,%.2f,%.1f,%d\n", c, a, b, c)
		fmt.Fprintf(&quoted, "\"2024-05-01T12:00:00Z\",\"device-%d\",\"%.2f\",\"%.1f\",\"%d\"\n", c, a, b, c)
		fmt.Fprintf(&text, "Müller,größer als üblich – schön,%.3f\n", a)
	}
	return map[string][]byte{
		"plain":  plain.Bytes(),
		"quoted": quoted.Bytes(),
		"text":   text.Bytes(),
		"utf16":  []byte(utf16File(binary.LittleEndian, plain.String())),
	}
}

func BenchmarkAnalyze(b *testing.B) {
	for name, file := range benchFiles() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if _, err := Analyze(context.Background(), bytes.NewReader(file), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
