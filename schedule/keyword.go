package schedule

import "strings"

// keywords are the names that cron knows, with what they stand for.
var keywords = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@noon":     "0 12 * * *",
	"@hourly":   "0 * * * *",
}

var keywordNames = []string{"@reboot", "@every", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@noon", "@hourly"}

// parseKeyword reads @hourly and its like, and a zone after it; @every is the
// interval of plain language.
func (in *input) parseKeyword() (*Expression, error) {
	first := in.words[0]
	name := strings.ToLower(first.text)
	if name == "@every" {
		in.words[0].text = "every"
		return in.parsePhrase()
	}
	fields, known := keywords[name]
	if !known && name != "@reboot" {
		return nil, in.fail(first, "there is no such keyword").suggest(keywordNames...)
	}
	if err := in.zoneSuffix(1); err != nil {
		return nil, err
	}
	if len(in.words) > 1 {
		return nil, in.fail(in.words[1], "nothing but a time zone may follow %s", name)
	}
	if name == "@reboot" {
		return &Expression{text: name, zone: in.zone, rule: reboot{}, from: always}, nil
	}
	in.words = nil
	for _, text := range strings.Fields(fields) {
		in.words = append(in.words, word{text, first.at})
	}
	return in.parseCron()
}
