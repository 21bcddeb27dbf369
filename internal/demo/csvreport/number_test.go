package csvreport

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// gather returns the result of one column, and whether it is numeric.
func gather(cells ...string) (Column, bool) {
	var f figures
	for _, c := range cells {
		f.add([]byte(c), 0)
	}
	if !f.numeric() {
		return Column{}, false
	}
	return f.column("n"), true
}

func TestWhatIsANumber(t *testing.T) {
	for cell, want := range map[string]string{
		"0": "0", "42": "42", "+42": "42", "-42": "-42", "-0": "0", "-0.0": "0", "007": "7",
		"1.5": "1.5", "1.50": "1.5", ".5": "0.5", "-.5": "-0.5", "5.": "5", "100": "100",
		" 1.5": "1.5", "1.5\t": "1.5", "  -3  ": "-3",
		"9007199254740993":                       "9007199254740993",
		"-9223372036854775809":                   "-9223372036854775809",
		"0.000000000000000001":                   "1e-18",
		"0.0000001":                              "0.0000001",
		"0.00000001":                             "1e-8",
		"00000000000000000000000001.50000000000": "1.5",
		"1" + strings.Repeat("0", 33):            "1" + strings.Repeat("0", 33),
		"1" + strings.Repeat("0", 34):            "1e34",
		"-12" + strings.Repeat("0", 900) + ".5":  "-1.2e901",
		"0." + strings.Repeat("3", 40):           "0." + strings.Repeat("3", 34),
		strings.Repeat("9", 40):                  "1e40",
		strings.Repeat("7", MaxDigits):           "7." + strings.Repeat("7", 32) + "8e999",
	} {
		c, ok := gather(cell)
		if !ok {
			t.Errorf("%q is no number", cell)
			continue
		}
		if c.Count != 1 || c.Sum.String() != want || c.Min != c.Sum || c.Max != c.Sum || c.Mean != c.Sum {
			t.Errorf("%q: %+v; want all %s", cell, c, want)
		}
	}
}

func TestWhatIsNoNumber(t *testing.T) {
	for _, cell := range []string{
		"x", "1,5", "1e5", "1E-5", "1.5.2", ".", "-", "+", "-.", "--1", "+-1", "1-", "0x10", "1_000", "1 000", "1'000",
		"Inf", "-inf", "NaN", "1.5f", "٣", "−1", "½", "1.5 V", "$1", "1%", "\u00a01", "- 1", strings.Repeat("1", MaxDigits+1),
	} {
		if c, ok := gather("1", cell, "2"); ok {
			t.Errorf("%q is taken for a number: %+v", cell, c)
		}
	}
	for _, empty := range [][]string{{}, {""}, {"", " ", "\t "}} {
		if c, ok := gather(empty...); ok {
			t.Errorf("a column of %q is numeric: %+v", empty, c)
		}
	}
}

func TestSumsAreExact(t *testing.T) {
	tenth := make([]string, 1_000_000)
	for i := range tenth {
		tenth[i] = "0.1"
	}
	for name, c := range map[string]struct {
		cells          []string
		sum, low, high string
		mean           string
	}{
		"0.1 a million times":      {tenth, "100000", "0.1", "0.1", "0.1"},
		"beyond 2^53":              {[]string{"9007199254740993", "9007199254740993"}, "18014398509481986", "9007199254740993", "9007199254740993", "9007199254740993"},
		"beyond 2^63":              {[]string{"999999999999999999", "999999999999999999", "999999999999999999"}, "2999999999999999997", "999999999999999999", "999999999999999999", "999999999999999999"},
		"cancellation":             {[]string{"1" + strings.Repeat("0", 30), "0.001", "-1" + strings.Repeat("0", 30)}, "0.001", "-1" + strings.Repeat("0", 30), "1" + strings.Repeat("0", 30), "0.000333333333333333333"},
		"scales compared":          {[]string{"1.5", "1.49999", "2", "1.50001", "-0.3", "-0.29999999999999999"}, "5.90000000000000001", "-0.3", "2", "0.983333333333333335"},
		"long and short":           {[]string{"1", "0.1234567890123456789", "-7"}, "-5.8765432109876543211", "-7", "1", "-1.9588477369958847737"},
		"a third":                  {[]string{"1", "0", "0"}, "1", "0", "1", "0.333333333333333333"},
		"half to even":             {[]string{"0.0000000000000000001", "0.0000000000000000002"}, "3e-19", "1e-19", "2e-19", "1.5e-19"},
		"empty cells do not count": {[]string{"", "4", " ", "5"}, "9", "4", "5", "4.5"},
	} {
		got, ok := gather(c.cells...)
		if !ok || got.Sum.String() != c.sum || got.Min.String() != c.low || got.Max.String() != c.high || got.Mean.String() != c.mean {
			t.Errorf("%s: %+v; want sum %s, min %s, max %s, mean %s", name, got, c.sum, c.low, c.high, c.mean)
		}
	}
}

func TestInt128(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s int128
	want := new(big.Int)
	for range 100_000 {
		n := random.Int64() - random.Int64()
		s.add(n)
		want.Add(want, big.NewInt(n))
	}
	for range 1_000 {
		s.add(-1 << 63)
		want.Sub(want, new(big.Int).Lsh(big.NewInt(1), 63))
	}
	if s.big().Cmp(want) != 0 {
		t.Errorf("got %v, want %v", s.big(), want)
	}
}

var numberPattern = regexp.MustCompile(`^[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[ \t]*$`)

// FuzzFigures compares the figures of any three cells with a regular expression and exact fractions.
func FuzzFigures(f *testing.F) {
	for _, s := range [][3]string{
		{"1", "2.5", "-3"}, {"", " ", "0.1"}, {"1e5", "Inf", "0x1"}, {"999999999999999999", "0.000000000000000001", "-.5"},
		{"1000000000000000000", "123456789012345678901234567890.5", "5."}, {"+", ".", "1.2.3"}, {"-0.00", "00", "-1 "},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		cells := []string{a, b, c}
		var numbers []*big.Rat
		numeric := true
		for _, cell := range cells {
			text := strings.Trim(cell, " \t")
			if text == "" {
				continue
			}
			if len(text) > 60 { // keeps exact what is compared below
				return
			}
			if !numberPattern.MatchString(cell) {
				numeric = false
				break
			}
			r, ok := new(big.Rat).SetString(text)
			if !ok {
				t.Fatalf("%q matches the pattern but is no fraction", cell)
			}
			numbers = append(numbers, r)
		}
		got, ok := gather(cells...)
		if want := numeric && len(numbers) > 0; ok != want {
			t.Fatalf("%q: numeric is %v, want %v", cells, ok, want)
		}
		if ok {
			compare(t, fmt.Sprintf("%q", cells), got, numbers)
		}
	})
}

// compare checks the figures of a column against exact fractions: they differ by rounding to 34 digits at most, the mean
// by rounding to 17.
func compare(t *testing.T, name string, got Column, numbers []*big.Rat) {
	t.Helper()
	sum, low, high := new(big.Rat), numbers[0], numbers[0]
	for _, n := range numbers {
		sum.Add(sum, n)
		if n.Cmp(low) < 0 {
			low = n
		}
		if n.Cmp(high) > 0 {
			high = n
		}
	}
	mean := new(big.Rat).Quo(sum, big.NewRat(int64(len(numbers)), 1))
	near := func(what, text string, want *big.Rat, digits int64) {
		t.Helper()
		r, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%s: the %s %q is no number", name, what, text)
		}
		allowed := new(big.Rat).Mul(new(big.Rat).Abs(want), new(big.Rat).SetFrac(big.NewInt(1), power(int(digits-1))))
		if off := r.Sub(r, want); off.Abs(off).Cmp(allowed) > 0 {
			t.Errorf("%s: the %s is %s, want %s", name, what, text, want.FloatString(40))
		}
	}
	if got.Count != int64(len(numbers)) {
		t.Errorf("%s: count %d, want %d", name, got.Count, len(numbers))
	}
	near("sum", got.Sum.String(), sum, maxSignificant)
	near("minimum", got.Min.String(), low, maxSignificant)
	near("maximum", got.Max.String(), high, maxSignificant)
	near("mean", got.Mean.String(), mean, 17)
}

func TestRandomFigures(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var cells []string
		var numbers []*big.Rat
		for range 1 + random.IntN(60) {
			cell := fmt.Sprintf("%d.%0*d", random.Int64N(1<<(1+random.Uint64N(62)))-1000, 1+random.IntN(20), random.IntN(10))
			r, _ := new(big.Rat).SetString(cell)
			cells, numbers = append(cells, cell), append(numbers, r)
		}
		got, ok := gather(cells...)
		if !ok {
			t.Fatalf("%q is not numeric", cells)
		}
		compare(t, fmt.Sprintf("%q", cells), got, numbers)
	}
}
