package schedule

// budget is the number of steps that a search may still take. Every loop of a
// search spends from it, so that every search ends.
type budget int

// maxSteps is twice what the longest searches take: those that ask each of ten
// lists of years about each year until 9999. It is less than a millisecond, at 3 ns
// a step (BenchmarkLongest, when nothing else runs).
const maxSteps = 200_000

// spend takes steps, and reports whether there were as many.
func (b *budget) spend(steps int) bool {
	*b -= budget(steps)
	return *b >= 0
}

// zoneSteps is what looking up a period of a zone costs.
const zoneSteps = 50
