package postgres

import (
	"strconv"
	"strings"
)

// Arrays travel as PostgreSQL's array literals in text parameters. That costs
// less than encoding them element by element, and works alike in every mode of
// pgx, through PgBouncer, and with any other driver of a caller's *sql.Tx.

// ints writes one number of each item as an array literal.
func ints[T any](items []T, number func(*T) int64) string {
	b := make([]byte, 1, 2+12*len(items))
	b[0] = '{'
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, number(&items[i]), 10)
	}
	return string(append(b, '}'))
}

// column is ints, but only the first where all are alike.
func column[T any](items []T, number func(*T) int64) string {
	if alike(items, number) {
		items = items[:min(len(items), 1)]
	}
	return ints(items, number)
}

// alike reports whether something is the same of all items.
func alike[T any, V comparable](items []T, value func(*T) V) bool {
	for i := 1; i < len(items); i++ {
		if value(&items[i]) != value(&items[0]) {
			return false
		}
	}
	return true
}

// numbers writes numbers as an array literal.
func numbers[N ~int | ~int32 | ~int64](items []N) string {
	return ints(items, func(n *N) int64 { return int64(*n) })
}

// texts writes one text of each item as an array literal; NULL where there is none.
func texts[T any](items []T, text func(*T) (string, bool)) string {
	size := 2
	for i := range items {
		s, _ := text(&items[i])
		size += len(s) + len(s)/8 + len(`"",`) // JSON has quotes, which are escaped
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteByte('{')
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		if s, ok := text(&items[i]); ok {
			quote(&b, s)
		} else {
			b.WriteString("NULL")
		}
	}
	b.WriteByte('}')
	return b.String()
}

// optional writes texts, NULL where they are empty; nothing if all are.
func optional[T any](items []T, text func(*T) string) string {
	if alike(items, text) && (len(items) == 0 || text(&items[0]) == "") {
		return "{}"
	}
	return texts(items, func(item *T) (string, bool) { t := text(item); return t, t != "" })
}

// strs writes texts as an array literal.
func strs(items []string) string {
	return texts(items, func(s *string) (string, bool) { return *s, true })
}

// quote writes one element; only quotes and backslashes mean something inside.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		b.WriteByte('\\')
		b.WriteByte(s[i])
		s = s[i+1:]
	}
	b.WriteString(s)
	b.WriteByte('"')
}
