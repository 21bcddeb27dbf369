package demo

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// size writes a number of bytes for people: "1 GiB", "47.7 MiB".
func size(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if value == float64(int64(value)) {
		return fmt.Sprintf("%d %s", int64(value), units[unit])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// number writes a whole number, of whatever type, with its thousands separated.
func number(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// figure writes a figure of a report for people: with its thousands separated
// and at most six decimals. The page has it exactly beside that.
func figure(exact json.Number) string {
	text := exact.String()
	if strings.ContainsAny(text, "eE") {
		return text
	}
	if _, decimals, _ := strings.Cut(text, "."); len(decimals) > 6 {
		if value, ok := new(big.Rat).SetString(text); ok && value.Cmp(big.NewRat(1, 1000)) > 0 {
			text = strings.TrimRight(strings.TrimRight(value.FloatString(6), "0"), ".")
		}
	}
	whole, decimals, found := strings.Cut(text, ".")
	if found {
		return number(whole) + "." + decimals
	}
	return number(whole)
}

// took writes how long something took.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// ago writes a moment relative to now.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "–"
	case d < -time.Second:
		return "in " + took(-d)
	case d < time.Second:
		return "just now"
	default:
		return took(d) + " ago"
	}
}

// stamp writes a moment for machines, and for people who want it exactly.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
