package csvreport

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoding is the character encoding of a file.
type Encoding string

// The encodings that a CSV may have.
const (
	UTF8    Encoding = "UTF-8"
	UTF16LE Encoding = "UTF-16LE"
	UTF16BE Encoding = "UTF-16BE"
)

// decodeBlock bounds what is decoded at once, and with it the decoder's buffers.
const decodeBlock = 64 << 10

// printable marks the bytes of UTF-8 that need no closer look: ASCII without forbidden control characters.
var printable = func() (ok [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		ok[c] = true
	}
	ok['\t'], ok['\n'], ok['\r'] = true, true, true
	return ok
}()

// decoder turns the bytes of a file, in whatever pieces they come, into UTF-8 text and refuses invalid encodings and
// forbidden characters. The zero value is ready; it is for one file and one goroutine.
type decoder struct {
	emit     func(text []byte) error // takes the text; the bytes are valid during the call
	encoding Encoding                // empty until the first bytes have come
	offset   int64                   // bytes of the file taken, without those in carry
	carry    []byte                  // a beginning that is too short to be understood: of the file, or of a character
	lines    lineCounter
	joined   []byte // carry and the bytes that came after it
	out      []byte // UTF-8 made from UTF-16
}

// write takes the next bytes of the file. It returns an *Error, or what emit returned.
func (d *decoder) write(p []byte) error {
	for len(p) > 0 {
		block := p[:min(len(p), decodeBlock)]
		p = p[len(block):]
		if len(d.carry) > 0 {
			d.joined = append(append(d.joined[:0], d.carry...), block...)
			block = d.joined
		}
		if d.encoding == "" && len(block) < 3 {
			d.carry = append(d.carry[:0], block...)
			continue
		}
		if err := d.decode(block); err != nil {
			return err
		}
	}
	return nil
}

// close takes the end of the file.
func (d *decoder) close() error {
	if d.encoding == "" && len(d.carry) > 0 {
		if err := d.decode(bytes.Clone(d.carry)); err != nil {
			return err
		}
	}
	if len(d.carry) > 0 {
		return d.refuse(fmt.Sprintf("the file ends in the middle of a %s character", d.encoding))
	}
	return nil
}

func (d *decoder) decode(block []byte) error {
	if d.encoding == "" {
		block = d.begin(block)
	}
	if d.encoding == UTF8 {
		return d.utf8(block)
	}
	return d.utf16(block)
}

// begin finds the encoding from the byte order mark and returns what follows the mark.
func (d *decoder) begin(block []byte) []byte {
	mark := 0
	switch {
	case bytes.HasPrefix(block, []byte("\xef\xbb\xbf")):
		d.encoding, mark = UTF8, 3
	case bytes.HasPrefix(block, []byte("\xff\xfe")):
		d.encoding, mark = UTF16LE, 2
	case bytes.HasPrefix(block, []byte("\xfe\xff")):
		d.encoding, mark = UTF16BE, 2
	default:
		d.encoding = UTF8
	}
	d.offset = int64(mark)
	return block[mark:]
}

// utf8 checks the block and hands it on as it is.
func (d *decoder) utf8(block []byte) error {
	i, reason := 0, ""
scan:
	for {
		for i < len(block) && printable[block[i]] {
			i++
		}
		if i == len(block) {
			break
		}
		r, size := utf8.DecodeRune(block[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			if !utf8.FullRune(block[i:]) {
				break scan
			}
			reason = "the text is not valid UTF-8; save the file as UTF-8"
			break scan
		case r < 0xa0:
			reason = forbidden(r)
			break scan
		}
		i += size
	}
	return d.pass(block, block[:i], i, reason)
}

// utf16 turns the block into UTF-8 and hands that on.
func (d *decoder) utf16(block []byte) error {
	out, reason, i := d.out[:0], "", 0
	for i+1 < len(block) && reason == "" {
		r := d.unit(block, i)
		if r < 0x80 && printable[r] {
			out = append(out, byte(r))
			i += 2
			continue
		}
		size := 2
		if utf16.IsSurrogate(r) {
			if r < 0xdc00 && i+3 >= len(block) {
				break // its other half comes with the next block
			}
			r, size = d.pair(block, i), 4
		}
		switch {
		case r == unpaired: // less than any character, so looked for first
			reason = fmt.Sprintf("the text is not valid %s: half of a surrogate pair stands alone", d.encoding)
		case r < 0xa0:
			reason = forbidden(r)
		default:
			out = utf8.AppendRune(out, r)
			i += size
		}
	}
	d.out = out
	return d.pass(block, out, i, reason)
}

// unit returns the UTF-16 code unit at i.
func (d *decoder) unit(block []byte, i int) rune {
	if d.encoding == UTF16BE {
		return rune(block[i])<<8 | rune(block[i+1])
	}
	return rune(block[i+1])<<8 | rune(block[i])
}

// unpaired stands for a surrogate without its other half.
const unpaired = -1

// pair returns the character of the surrogates at i, or unpaired.
func (d *decoder) pair(block []byte, i int) rune {
	if high := d.unit(block, i); high < 0xdc00 {
		if low := d.unit(block, i+2); 0xdc00 <= low && low < 0xe000 {
			return utf16.DecodeRune(high, low)
		}
	}
	return unpaired
}

// pass hands on the text made of the first n bytes of the block, keeps the rest, and refuses the next byte if there is
// a reason.
func (d *decoder) pass(block, text []byte, n int, reason string) error {
	if len(text) > 0 {
		d.lines.count(text)
		if err := d.emit(text); err != nil {
			return err
		}
	}
	d.offset += int64(n)
	if reason != "" {
		return d.refuse(reason)
	}
	d.carry = append(d.carry[:0], block[n:]...)
	return nil
}

// refuse returns the error about the byte at offset.
func (d *decoder) refuse(reason string) error {
	return &Error{Line: d.lines.n + 1, Byte: d.offset + 1, Reason: reason}
}

func forbidden(r rune) string {
	if r == 0 {
		return "a NUL byte is not allowed in a CSV; UTF-16 needs a byte order mark at the beginning of the file"
	}
	return fmt.Sprintf("the control character U+%04X is not allowed in a CSV", r)
}

// lineCounter counts line ends (LF, CR, CRLF) over pieces of a text. The zero value is ready.
type lineCounter struct {
	n      int64
	lastCR bool // the last byte seen was a CR, so that an LF now belongs to it
}

func (c *lineCounter) count(p []byte) {
	if len(p) == 0 {
		return
	}
	c.n += int64(bytes.Count(p, []byte{'\n'}))
	if c.lastCR && p[0] == '\n' {
		c.n--
	}
	if cr := bytes.Count(p, []byte{'\r'}); cr > 0 {
		c.n += int64(cr - bytes.Count(p, []byte("\r\n")))
	}
	c.lastCR = p[len(p)-1] == '\r'
}
