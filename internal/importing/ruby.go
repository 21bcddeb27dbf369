package importing

import (
	"strings"
	"unicode"
)

// token is one word of a Ruby file.
type token struct {
	kind byte // 'i' a name, ':' a symbol, 'k' a key (at:), '"' a string, 'n' a number, 'p' a sign, '\n' the end of a statement
	text string
	line int
}

// statements cuts a Ruby file into statements: lines, joined where one ends with a
// comma or inside brackets. Strings with code in them get the kind '#'.
func statements(text string) [][]token {
	var all [][]token
	var now []token
	depth := 0
	l := &lexer{text: []rune(text), line: 1}
	for {
		t, ok := l.next()
		switch {
		case !ok || t.kind == '\n' && depth == 0 && !continues(now):
			if len(now) > 0 {
				all = append(all, now)
			}
			if !ok {
				return all
			}
			now = nil
			continue
		case t.kind == '\n':
			continue
		case t.kind == 'p' && (t.text == "[" || t.text == "("):
			depth++
		case t.kind == 'p' && (t.text == "]" || t.text == ")"):
			depth = max(depth-1, 0)
		}
		now = append(now, t)
	}
}

// continues reports whether a statement goes on in the next line.
func continues(now []token) bool {
	return len(now) > 0 && now[len(now)-1].kind == 'p' && (now[len(now)-1].text == "," || now[len(now)-1].text == "=>")
}

type lexer struct {
	text []rune
	at   int
	line int
}

func (l *lexer) peek(n int) rune {
	if l.at+n < len(l.text) {
		return l.text[l.at+n]
	}
	return 0
}

// next returns the next token; false at the end.
func (l *lexer) next() (token, bool) {
	for l.at < len(l.text) {
		switch r := l.peek(0); {
		case r == '\n' || r == ';':
			t := token{'\n', "", l.line}
			if r == '\n' {
				l.line++
			}
			l.at++
			return t, true
		case unicode.IsSpace(r):
			l.at++
		case r == '#':
			for l.at < len(l.text) && l.peek(0) != '\n' {
				l.at++
			}
		case r == '"' || r == '\'':
			return l.quoted(r), true
		case isWord(r) && !unicode.IsDigit(r):
			return l.name(), true
		case unicode.IsDigit(r):
			return l.number(), true
		case r == ':' && isWord(l.peek(1)):
			l.at++
			t := l.name()
			return token{':', t.text, t.line}, true
		default:
			return l.sign(), true
		}
	}
	return token{}, false
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func (l *lexer) name() token {
	from := l.at
	for isWord(l.peek(0)) || (l.peek(0) == '?' || l.peek(0) == '!') && l.peek(1) != '=' {
		l.at++
	}
	t := token{'i', string(l.text[from:l.at]), l.line}
	if l.peek(0) == ':' && l.peek(1) != ':' {
		l.at++
		t.kind = 'k'
	}
	return t
}

// number reads a number; 1..5 and 1.day are more than one token.
func (l *lexer) number() token {
	from := l.at
	for unicode.IsDigit(l.peek(0)) || l.peek(0) == '_' || l.peek(0) == '.' && unicode.IsDigit(l.peek(1)) {
		l.at++
	}
	return token{'n', strings.ReplaceAll(string(l.text[from:l.at]), "_", ""), l.line}
}

func (l *lexer) sign() token {
	for _, sign := range []string{"...", "..", "=>", "::"} {
		if strings.HasPrefix(string(l.text[l.at:min(l.at+3, len(l.text))]), sign) {
			l.at += len(sign)
			return token{'p', sign, l.line}
		}
	}
	l.at++
	return token{'p', string(l.text[l.at-1]), l.line}
}

func (l *lexer) quoted(mark rune) token {
	t := token{'"', "", l.line}
	var b strings.Builder
	for l.at++; l.at < len(l.text) && l.peek(0) != mark; l.at++ {
		r := l.peek(0)
		switch {
		case r == '\\' && (l.peek(1) == mark || l.peek(1) == '\\'):
			l.at++
			r = l.peek(0)
		case r == '#' && l.peek(1) == '{' && mark == '"':
			t.kind = '#'
		case r == '\n':
			l.line++
		}
		b.WriteRune(r)
	}
	l.at++
	t.text = b.String()
	return t
}

// original writes tokens as people would.
func original(tokens []token) string {
	var b strings.Builder
	for i, t := range tokens {
		text := t.text
		switch t.kind {
		case ':':
			text = ":" + text
		case 'k':
			text += ":"
		case '"', '#':
			text = `"` + text + `"`
		}
		tight := i == 0 || strings.Contains(".,()]..", text) || strings.HasSuffix(b.String(), ".") || strings.HasSuffix(b.String(), "(") || strings.HasSuffix(b.String(), "[")
		if !tight {
			b.WriteByte(' ')
		}
		b.WriteString(text)
	}
	return b.String()
}
