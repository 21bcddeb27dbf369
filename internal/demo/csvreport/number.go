package csvreport

import (
	"bytes"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// maxShort is the most digits, and the most of them behind the point, of a number that fits in a short.
const maxShort = 18

// numberClass says what a cell is.
type numberClass uint8

const (
	notNumber numberClass = iota
	shortNumber
	longNumber // needs parseLong
)

// short is the number units / 10^scale, with |units| < 10^18 and scale <= 18.
type short struct {
	units int64
	scale uint8
}

// parse reads a cell by the grammar [+-]? digits* (. digits*)? with at least one digit.
func parse(cell []byte) (short, numberClass) {
	i := 0
	if cell[0] == '-' || cell[0] == '+' {
		i = 1
	}
	var units uint64
	point := -1
	long := false
	for j := i; j < len(cell); j++ {
		c := cell[j] - '0'
		if c <= 9 {
			long = long || units >= 1e17
			units = units*10 + uint64(c) // meaningless once long
			continue
		}
		if cell[j] != '.' || point >= 0 {
			return short{}, notNumber
		}
		point = j
	}
	digits, scale := len(cell)-i, 0
	if point >= 0 {
		digits, scale = digits-1, len(cell)-point-1
	}
	switch {
	case digits == 0 || digits > MaxDigits:
		return short{}, notNumber
	case long || scale > maxShort:
		return short{}, longNumber
	case cell[0] == '-':
		return short{-int64(units), uint8(scale)}, shortNumber
	}
	return short{int64(units), uint8(scale)}, shortNumber
}

// parseLong reads a cell that parse called a longNumber.
func parseLong(cell []byte) decimal {
	scale := 0
	if point := bytes.IndexByte(cell, '.'); point >= 0 {
		scale = len(cell) - point - 1
	}
	units, ok := new(big.Int).SetString(strings.Replace(string(cell), ".", "", 1), 10)
	if !ok {
		panic("csvreport: parse let pass a number that is none: " + strconv.Quote(string(cell)))
	}
	return decimal{units, scale}
}

func (n short) less(other short) bool {
	switch {
	case n.scale == other.scale:
		return n.units < other.units
	case (n.units < 0) != (other.units < 0):
		return n.units < 0
	}
	// The same sign: compare |units| brought to one scale; the products stay below 10^36.
	nHi, nLo := bits.Mul64(magnitude(n.units), powers[max(other.scale, n.scale)-n.scale])
	oHi, oLo := bits.Mul64(magnitude(other.units), powers[max(other.scale, n.scale)-other.scale])
	if n.units < 0 {
		nHi, nLo, oHi, oLo = oHi, oLo, nHi, nLo
	}
	return nHi < oHi || nHi == oHi && nLo < oLo
}

func (n short) decimal() decimal {
	return decimal{big.NewInt(n.units), int(n.scale)}
}

// float returns the nearest float64, or one beside it.
func (n short) float() float64 { return float64(n.units) / float64(powers[n.scale]) }

func magnitude(n int64) uint64 {
	if n < 0 {
		n = -n
	}
	return uint64(n)
}

// powers of ten that shorts need.
var powers = func() (p [maxShort + 1]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// decimal is the number units / 10^scale. It is never changed once made; scale >= 0.
type decimal struct {
	units *big.Int
	scale int
}

func power(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// at returns the units at a larger or equal scale.
func (d decimal) at(scale int) *big.Int {
	if scale == d.scale {
		return d.units
	}
	return new(big.Int).Mul(d.units, power(scale-d.scale))
}

func (d decimal) plus(other decimal) decimal {
	scale := max(d.scale, other.scale)
	return decimal{new(big.Int).Add(d.at(scale), other.at(scale)), scale}
}

func (d decimal) cmp(other decimal) int {
	scale := max(d.scale, other.scale)
	return d.at(scale).Cmp(other.at(scale))
}

// dividedBy returns the quotient with at least 17 significant digits and at least the digits of d behind the point.
func (d decimal) dividedBy(n int64) decimal {
	divisor := big.NewInt(n)
	scale := max(d.scale, 18-(len(d.units.String())-len(divisor.String())-d.scale))
	return decimal{quotient(d.at(scale), divisor), scale}
}

// quotient returns a / b, b > 0, rounded half to even.
func quotient(a, b *big.Int) *big.Int {
	q, r := new(big.Int).DivMod(a, b, new(big.Int))
	switch r.Lsh(r, 1).Cmp(b) {
	case 1:
		return q.Add(q, big.NewInt(1))
	case 0:
		return q.Add(q, big.NewInt(int64(q.Bit(0))))
	}
	return q
}

// maxSignificant is the precision of IEEE 754 decimal128.
const maxSignificant = 34

// String returns d as a JSON number: rounded to 34 significant digits, without needless zeros, with an exponent where
// the plain form would have more than 34 digits before the point or 6 zeros behind it.
func (d decimal) String() string {
	units, scale := d.units, d.scale
	if extra := len(new(big.Int).Abs(units).String()) - maxSignificant; extra > 0 {
		units, scale = quotient(units, power(extra)), scale-extra
	}
	if units.Sign() == 0 {
		return "0"
	}
	sign := ""
	if units.Sign() < 0 {
		sign = "-"
	}
	all := new(big.Int).Abs(units).String()
	digits := strings.TrimRight(all, "0")
	exponent := len(all) - scale - 1 // of the first digit
	switch {
	case exponent < -7 || exponent >= maxSignificant:
		if len(digits) > 1 {
			digits = digits[:1] + "." + digits[1:]
		}
		return sign + digits + "e" + strconv.Itoa(exponent)
	case exponent < 0:
		return sign + "0." + strings.Repeat("0", -exponent-1) + digits
	case len(digits) <= exponent+1:
		return sign + digits + strings.Repeat("0", exponent+1-len(digits))
	}
	return sign + digits[:exponent+1] + "." + digits[exponent+1:]
}
