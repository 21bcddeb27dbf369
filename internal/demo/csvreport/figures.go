package csvreport

import (
	"bytes"
	"encoding/json"
	"math/big"
	"math/bits"
	"strconv"
)

// figures gathers one column. Most numbers have at most 18 digits: they are added as integers, apart for each number
// of digits behind the point, in 128 bits that no number of rows overflows. Longer ones are added by math/big. The
// zero value is an empty column.
type figures struct {
	text     bool // a cell that is neither a number nor empty has come
	count    int64
	sums     [maxShort + 1]int128 // by scale
	shorts   int64                // short numbers seen
	min, max short                // of the short numbers, if there are any
	long     *longFigures         // of the long numbers; nil without any
	course   *courseOf            // nil: it is not wanted, or the column is text
}

// longFigures gathers the long numbers of one column.
type longFigures struct {
	sum, min, max decimal
}

// add takes the column's cell of a row, counted from 0.
func (f *figures) add(cell []byte, row int64) {
	if f.text {
		return
	}
	if len(cell) > 0 && (blank(cell[0]) || blank(cell[len(cell)-1])) {
		cell = bytes.Trim(cell, " \t")
	}
	if len(cell) == 0 {
		return
	}
	n, class := parse(cell)
	switch class {
	case notNumber:
		f.text = true
		f.long, f.course = nil, nil
		return
	case shortNumber:
		f.addShort(n)
		if f.course != nil {
			f.course.add(row, n.float())
		}
	case longNumber:
		f.addLong(parseLong(cell))
		if f.course != nil {
			v, _ := strconv.ParseFloat(string(cell), 64) // out of range is infinite
			f.course.add(row, v)
		}
	}
	f.count++
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

func (f *figures) addShort(n short) {
	f.sums[n.scale].add(n.units)
	if f.shorts == 0 || n.less(f.min) {
		f.min = n
	}
	if f.shorts == 0 || f.max.less(n) {
		f.max = n
	}
	f.shorts++
}

func (f *figures) addLong(d decimal) {
	if f.long == nil {
		f.long = &longFigures{sum: d, min: d, max: d}
		return
	}
	f.long.sum = f.long.sum.plus(d)
	if d.cmp(f.long.min) < 0 {
		f.long.min = d
	}
	if d.cmp(f.long.max) > 0 {
		f.long.max = d
	}
}

func (f *figures) numeric() bool { return !f.text && f.count > 0 }

// column returns the result for a numeric column.
func (f *figures) column(name string) Column {
	sum := decimal{units: new(big.Int)}
	for scale, s := range f.sums {
		sum = sum.plus(decimal{units: s.big(), scale: scale})
	}
	low, high := f.min.decimal(), f.max.decimal()
	if f.long != nil {
		sum = sum.plus(f.long.sum)
		if f.shorts == 0 || f.long.min.cmp(low) < 0 {
			low = f.long.min
		}
		if f.shorts == 0 || f.long.max.cmp(high) > 0 {
			high = f.long.max
		}
	}
	return Column{
		Name:  name,
		Count: f.count,
		Sum:   json.Number(sum.String()),
		Min:   json.Number(low.String()),
		Max:   json.Number(high.String()),
		Mean:  json.Number(sum.dividedBy(f.count).String()),
	}
}

// int128 is a signed sum. The zero value is 0.
type int128 struct {
	hi int64
	lo uint64
}

func (s *int128) add(n int64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(n), 0)
	s.hi += n>>63 + int64(carry)
}

func (s int128) big() *big.Int {
	n := big.NewInt(s.hi)
	return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(s.lo))
}
