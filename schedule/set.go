package schedule

import "math/bits"

// set is a set of the numbers 0 to 63.
type set uint64

// setOf returns the numbers from lo to hi by step.
func setOf(lo, hi, step int) set {
	var s set
	for n := lo; n <= hi; n += step {
		s |= 1 << n
	}
	return s
}

func (s set) has(n int) bool { return s>>n&1 != 0 }
func (s set) size() int      { return bits.OnesCount64(uint64(s)) }
func (s set) least() int     { return bits.TrailingZeros64(uint64(s)) }
func (s set) most() int      { return 63 - bits.LeadingZeros64(uint64(s)) }

// atLeast returns the smallest member that is not less than n.
func (s set) atLeast(n int) (int, bool) {
	s = s >> n << n
	return s.least(), s != 0
}

// atMost returns the largest member that is not more than n, which may be -1.
func (s set) atMost(n int) (int, bool) {
	s &= 1<<(n+1) - 1
	return s.most(), s != 0
}

// members lists the set in ascending order.
func (s set) members() []int {
	var list []int
	for ; s != 0; s &= s - 1 {
		list = append(list, s.least())
	}
	return list
}

// span is the numbers from lo to hi by step.
type span struct{ lo, hi, step int }

// atLeast returns the smallest number of the span that is not less than n.
func (s span) atLeast(n int) (int, bool) {
	n = s.lo + (max(n-s.lo, 0)+s.step-1)/s.step*s.step
	return n, n <= s.hi
}

// atMost returns the largest number of the span that is not more than n.
func (s span) atMost(n int) (int, bool) {
	if n < s.lo {
		return 0, false
	}
	return s.lo + (min(n, s.hi)-s.lo)/s.step*s.step, true
}

// floorDiv divides and rounds down, also below zero.
func floorDiv[T int | int64](a, b T) T {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
