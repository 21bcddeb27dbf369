package schedule

import (
	"slices"
	"strings"
	"time"
)

// phrase is an expression in plain language. Its clauses stand in any order,
// each at most once; what they mean together is decided when all are read.
type phrase struct {
	*input
	tokens []token
	heard  map[clause]word // the clauses that were read, by their first word

	unit     unit  // every day; 0: none
	count    int64 // every 2 weeks: 2; of units up to the hour, the seconds
	numbered bool  // a number was said: the expression counts from an anchor

	weekdays set
	ordinals []int // first, 15th; -1 is the last
	noun     noun  // what the ordinals count
	everyNth word  // the ordinal that follows "every", whose month must be named
	ofMonth  word  // of the month
	months   set

	times  list
	marks  set  // at minute 12
	marked unit // of what
	window window
	start  start
}

// clause is one thing that a phrase can say, as error messages put it.
type clause string

const (
	everyClause  clause = "how often"
	daysClause   clause = "on which days"
	monthsClause clause = "in which months"
	timesClause  clause = "at which times"
	windowClause clause = "between which times"
	startClause  clause = "from when on"
)

// noun is what ordinals count in a month.
type noun uint8

const (
	nothing     noun = iota
	daysOfMonth      // the 1st and 15th
	weekdayOf        // the first monday
	workdayOf        // the first weekday: 1W and LW of cron
)

// token is a word or comma, and in lower case.
type token struct {
	word
	lower string
}

// start is where an interval counts from, as it was written.
type start struct {
	time     time.Time // if it has no offset: a reading, as if it were UTC
	offset   bool
	dateOnly bool
}

// parsePhrase reads plain language.
func (in *input) parsePhrase() (*Expression, error) {
	p := &phrase{input: in, heard: map[clause]word{}}
	for _, w := range in.words {
		p.tokens = append(p.tokens, tokens(w)...)
	}
	for len(p.tokens) > 0 {
		if err := p.clause(); err != nil {
			return nil, err
		}
	}
	return p.resolve()
}

// tokens cuts a word at its commas.
func tokens(w word) []token {
	var list []token
	for w.text != "" {
		n := strings.IndexByte(w.text, ',')
		switch {
		case n < 0:
			n = len(w.text)
		case n == 0:
			n = 1
		}
		part := w.text[:n]
		list = append(list, token{word{part, w.at}, strings.ToLower(part)})
		w = word{w.text[n:], w.at + n}
	}
	return list
}

// clause reads one clause.
func (p *phrase) clause() error {
	t := p.take()
	switch t.lower {
	case ",":
		if len(p.tokens) > 0 {
			return nil
		}
		return p.fail(t.word, "something is missing after the comma")
	case "every", "each":
		return p.every(t)
	case "hourly", "daily", "weekly", "monthly", "yearly", "annually":
		return p.adverb(t)
	case "on", "the":
		return p.on(t)
	case "of":
		return p.of()
	case "at":
		return p.at(t)
	case "between":
		return p.between(t, "and")
	case "from":
		return p.from(t)
	case "starting":
		p.accept("on", "at", "from")
		return p.starting(t)
	case "in":
		if _, month := monthNumber(p.peek().lower); month {
			return p.inMonths(p.take())
		}
		return p.zoneName()
	}
	return p.bare(t)
}

// bare reads a clause that begins without a preposition.
func (p *phrase) bare(t token) error {
	switch {
	case isTime(t), isNumber(t) && slices.Contains(halves, p.peek().lower):
		p.push(t)
		return p.at(t)
	case p.beginsDays(t):
		return p.days(t)
	case strings.Contains(t.text, "/") || len(t.text) > 2 && strings.ToUpper(t.text) == t.text && letter(rune(t.text[0])):
		return p.nameZone(t.word)
	}
	return p.unknown(t)
}

// unknown is the error for a word that no clause begins with.
func (p *phrase) unknown(t token) error {
	switch t.lower {
	case "and", "or":
		return p.fail(t.word, "what follows does not continue the list before it").hint("two rules are two schedules")
	}
	return p.fail(t.word, "this word is not understood here").hint(example).suggest(vocabulary()...)
}

// example is the hint where no better one is known.
const example = "write, for example, every day at 9:00 or every monday at noon"

// vocabulary lists the words that errors suggest.
func vocabulary() []string {
	words := strings.Fields(`every each other on at in of the between and from to starting noon midnight am pm
		first second third fourth fifth last day weekday weekdays weekend weekends hourly daily weekly monthly
		yearly seconds minute minutes hour hours days week weeks month months year years`)
	for _, name := range weekdayNames {
		words = append(words, name, name+"s")
	}
	return append(words, monthNames...)
}

// say notes that a clause is read, and refuses it if it was read before.
func (p *phrase) say(c clause, t token) error {
	if _, again := p.heard[c]; again {
		return p.fail(t.word, "the expression already says %s", c).hint("two rules are two schedules")
	}
	p.heard[c] = t.word
	return nil
}

// peek returns the next token, which is empty at the end.
func (p *phrase) peek() token {
	if len(p.tokens) == 0 {
		return token{word: p.end()}
	}
	return p.tokens[0]
}

// take reads the next token.
func (p *phrase) take() token {
	t := p.peek()
	p.tokens = p.tokens[min(1, len(p.tokens)):]
	return t
}

// push puts a token back.
func (p *phrase) push(t token) { p.tokens = append([]token{t}, p.tokens...) }

// accept reads the next token if it is one of these words.
func (p *phrase) accept(words ...string) bool {
	for _, w := range words {
		if p.peek().lower == w {
			p.take()
			return true
		}
	}
	return false
}

// more reads what separates the entries of a list, if an entry follows it.
func (p *phrase) more(entry func(token) bool) bool {
	n := 0
	for n < len(p.tokens) && (slices.Contains([]string{",", "and", "or"}, p.tokens[n].lower) || n > 0 && p.tokens[n].lower == "the") {
		n++
	}
	if n == 0 || n == len(p.tokens) || !entry(p.tokens[n]) {
		return false
	}
	p.tokens = p.tokens[n:]
	return true
}

// zoneName reads the name of a zone.
func (p *phrase) zoneName() error {
	t := p.take()
	if t.text == "" {
		return p.fail(t.word, "the name of a time zone or month is missing")
	}
	return p.nameZone(t.word)
}
