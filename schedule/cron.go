package schedule

import (
	"slices"
	"strings"
)

// cronFields are the fields in the order of the longest form. The second is the
// first that may be left out, then the year.
var cronFields = []*field{secondField, minuteField, hourField, dayField, monthField, weekdayField, yearField}

// looksLikeCron tells a cron expression from plain language: it has a star, or
// its first word has only signs that cron uses and no other word follows.
func (in *input) looksLikeCron() bool {
	const signs = "0123456789?,-/~()Hh"
	if strings.Contains(in.text, "*") {
		return true
	}
	second := '0'
	if len(in.words) > 1 {
		second = rune(in.words[1].text[0])
	}
	return strings.Trim(in.words[0].text, signs) == "" && (!letter(second) || second == 'H' || second == 'h')
}

// cronParser is a cron expression that is being read.
type cronParser struct {
	*input
	fields []*field
	and    bool   // both day fields must match
	items  []item // which wait for the seed
	days   monthDays
	week   weekDays
}

// parseCron reads a cron expression of five, six or seven fields, and a zone
// after them.
func (in *input) parseCron() (*Expression, error) {
	p := &cronParser{input: in}
	if err := in.zoneSuffix(5); err != nil {
		return nil, err
	}
	if err := p.layout(); err != nil {
		return nil, err
	}
	var canonical []string
	starred := map[*field]bool{}
	for i, f := range p.fields {
		text, err := p.field(f, in.words[i])
		if err != nil {
			return nil, err
		}
		starred[f] = text[0] == '*'
		canonical = append(canonical, text)
	}
	text := strings.Join(canonical, " ")
	rule := p.rule(text)
	rule.elapsed = starred[hourField]
	rule.dates.either = !p.and && !starred[dayField] && !starred[weekdayField]
	if !rule.dates.prepare() {
		return nil, in.fail(in.words[slices.Index(p.fields, dayField)], "there is no such day: the expression never ticks")
	}
	if in.named != "" {
		text = "CRON_TZ=" + in.named + " " + text
	}
	return &Expression{text: text, zone: in.zone, rule: rule, from: always}, nil
}

// layout finds out which fields the words are. A lone & after the weekday counts
// as a part of it.
func (p *cronParser) layout() error {
	lone := slices.IndexFunc(p.words, func(w word) bool { return w.text == "&" })
	words := p.words
	if lone >= 0 {
		words = slices.Delete(slices.Clone(words), lone, lone+1)
	}
	switch n := len(words); {
	case n == 5:
		p.fields = cronFields[1:6]
	case n == 6:
		p.fields = cronFields[:6]
	case n == 7:
		p.fields = cronFields
	default:
		w := p.end()
		if n > 7 {
			w = words[7]
		}
		return p.fail(w, "a cron expression has 5 fields, 6 with seconds or 7 with seconds and year, and not %d", n).
			hint("they are [second] minute hour day month weekday [year]")
	}
	if lone >= 0 && (lone == 0 || lone > len(words) || lone-1 != slices.Index(p.fields, weekdayField)) {
		return p.fail(p.words[lone], "& stands after the weekday")
	}
	p.words, p.and = words, lone >= 0
	if last := words[len(words)-1]; len(words) == 6 && len(last.text) == 4 {
		if _, number := digits(last.text); number {
			return p.fail(last, "the last of six fields is the weekday").hint("for a year write the seconds, too: 0 before the minute")
		}
	}
	return nil
}

// field reads one field and returns its canonical text.
func (p *cronParser) field(f *field, list word) (string, error) {
	and := ""
	if rest, found := strings.CutSuffix(list.text, "&"); found && (f == weekdayField || f == dayField) && rest != "" {
		list.text, p.and = rest, true
	}
	if f == weekdayField && p.and {
		and = "&"
	}
	var texts []string
	err := p.entries(f, list, func(entry word) error {
		var text string
		var err error
		switch f {
		case dayField:
			text, err = p.day(entry)
		case weekdayField:
			text, err = p.weekday(entry)
		default:
			text, err = p.plainItem(f, entry)
		}
		texts = append(texts, text)
		return err
	})
	return strings.Join(texts, ",") + and, err
}

// rule makes the rule of the fields that were read. Values that are drawn come
// from the schedule's name, else from the expression's canonical text.
func (p *cronParser) rule(text string) *calendar {
	seed := p.name
	if seed == "" {
		seed = text
	}
	sets := map[*field]set{}
	if p.fields[0] != secondField {
		sets[secondField] = 1
	}
	var years []span
	for _, it := range p.items {
		if it.field == yearField {
			years = append(years, span{it.lo, it.hi, it.step})
			continue
		}
		sets[it.field] |= it.set(seed)
	}
	p.days.plain |= sets[dayField]
	p.week.plain |= sets[weekdayField]
	return &calendar{
		zone:  p.zone,
		times: clock{hours: sets[hourField], minutes: sets[minuteField], seconds: sets[secondField]},
		dates: dates{years: years, months: sets[monthField], day: p.days, week: p.week},
	}
}
