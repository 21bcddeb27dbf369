package csvreport

import "io"

// Format says how a file is written.
type Format struct {
	Encoding  Encoding
	Separator byte // ',', ';' or '\t'; ',' for a file with one column
	Columns   int  // cells of the header
}

// Check reads r to its end and returns its format. The error is an *Error when the content is not a CSV as far as a
// [Validator] looks, else the reader's.
func Check(r io.Reader) (Format, error) {
	v := NewValidator()
	if _, err := io.CopyBuffer(v, onlyReader{r}, make([]byte, decodeBlock)); err != nil {
		return Format{}, err
	}
	if err := v.Close(); err != nil {
		return Format{}, err
	}
	return v.Format(), nil
}

// onlyReader hides WriterTo, which might hand over the file in one piece.
type onlyReader struct{ io.Reader }

// Validator checks an upload while it passes, in constant memory: the encoding and the forbidden characters of the
// whole file, and the shape of its header and first 10 records. What is wrong with a later record is found by
// [Analyze]. Make it with [NewValidator]; it is for one file and one goroutine.
type Validator struct {
	decoder  decoder
	detector *detector // nil once it has decided
	format   Format
	err      error // the first refusal, returned for ever
	closed   bool
}

// NewValidator returns a Validator that has seen nothing yet.
func NewValidator() *Validator {
	v := &Validator{detector: newDetector()}
	v.decoder.emit = v.text
	return v
}

// Write takes the next bytes of the file. It returns an *Error as soon as the file is known to be no CSV, so that the
// rest need not be received, and again at every later call.
func (v *Validator) Write(p []byte) (int, error) {
	if v.closed {
		panic("csvreport: Write after Close of a Validator")
	}
	if v.err == nil {
		v.err = v.decoder.write(p)
	}
	if v.err != nil {
		return 0, v.err
	}
	return len(p), nil
}

// Close takes the end of the file and returns the final answer: nil for a CSV, else an *Error. Calling it again
// returns the same.
func (v *Validator) Close() error {
	if v.closed {
		return v.err
	}
	v.closed = true
	if v.err == nil {
		v.err = v.decoder.close()
	}
	if v.err == nil && v.detector != nil {
		v.detector.close()
		v.err = v.decide()
	}
	return v.err
}

// Format returns how the file is written. It is complete after a Close that returned nil.
func (v *Validator) Format() Format {
	return v.format
}

func (v *Validator) text(p []byte) error {
	if v.detector == nil || v.detector.write(p) {
		return nil
	}
	return v.decide()
}

func (v *Validator) decide() error {
	separator, width, err := v.detector.verdict()
	v.detector = nil
	v.format = Format{Encoding: v.decoder.encoding, Separator: separator, Columns: width}
	return err
}
