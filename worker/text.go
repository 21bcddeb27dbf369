package worker

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
)

// Limits of what is kept of an attempt beside its result.
const (
	maxText     = 64 << 10 // bytes of an error, of a trace, of a log
	maxLogLines = 100
)

// clean makes a text storable: valid UTF-8 without NUL, at most limit bytes.
func clean(text string, limit int) string {
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}

// checkResult reports what makes a result unfit to be stored.
func checkResult(value json.RawMessage) error {
	switch {
	case len(value) > offstage.MaxResult:
		return invalid("result", "%d bytes of JSON are more than the limit of %d; store the data elsewhere and return a reference", len(value), offstage.MaxResult)
	case value != nil && (!utf8.Valid(value) || !json.Valid(value)):
		return invalid("result", "not valid JSON")
	}
	return nil
}
