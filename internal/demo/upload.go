package demo

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/offstagehq/offstage/internal/demo/csvreport"
)

const (
	// block is how much of an upload is in memory at once.
	block = 256 << 10
	// formOverhead is what a form may hold beside the file's bytes.
	formOverhead = 1 << 20
	// patience is how long an upload may bring nothing before it is given up.
	patience = time.Minute
	// drainTime is how long the rest of a refused upload is read, so that the
	// sender gets to see the answer instead of a broken connection.
	drainTime = 10 * time.Second
)

// createReport is POST /reports: it takes a CSV in and answers as soon as the
// file and its job are durable. A file that is no CSV is refused here, while its
// user still looks at the form; what takes long is left to the job.
func (s *service) createReport(w http.ResponseWriter, r *http.Request) {
	args, err := s.receive(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ticket, err := s.flows.Enqueue(r, args, s.thenMail())
	if err != nil {
		// The answer may be lost and the job there: the file stays, and the
		// clean-up takes it if no job wants it.
		s.fail(w, r, err)
		return
	}
	if ticket.Repeated {
		s.forget(r.Context(), args)
	}
	ticket.Answer(w, r)
}

// forget removes the file of a request that was made before: the first one's is
// there. What stays, the clean-up takes.
func (s *service) forget(ctx context.Context, args BuildReport) {
	path, err := s.files.upload(args.File)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		s.log.WarnContext(ctx, "a repeated upload was not removed", "file", args.File, "err", err)
	}
}

// receive stores the request's file and returns the job for it. After an error
// nothing is left of the file.
func (s *service) receive(w http.ResponseWriter, r *http.Request) (args BuildReport, err error) {
	control, limit := http.NewResponseController(w), s.maxUpload+formOverhead
	body := r.Body
	r.Body = http.MaxBytesReader(w, body, limit)
	form, err := r.MultipartReader()
	if err != nil {
		err = refuse(http.StatusBadRequest, `send the file as multipart/form-data, in a field named "file"`)
	} else if r.ContentLength > limit {
		err = s.tooLarge()
	}
	if err != nil && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return args, err // the sender waits for a word before it sends anything
	}
	defer func() {
		if err != nil {
			drain(body, control)
		}
	}()
	if err != nil {
		return args, err
	}
	part, err := filePart(form)
	if err != nil {
		return args, s.broken(err)
	}
	file, name, err := s.files.newUpload()
	if err != nil {
		return args, err
	}
	upload := &durableFile{File: file}
	args = BuildReport{File: name, Name: displayName(part.FileName())}
	args.Size, err = s.save(upload, part, control)
	if err == nil {
		err = endOfForm(form)
	}
	if err != nil {
		return args, errors.Join(s.broken(err), upload.Discard())
	}
	if err := upload.Close(); err != nil {
		return args, errors.Join(err, os.Remove(file.Name()))
	}
	return args, nil
}

// save copies the part to the file while the validator looks at it, in constant
// memory, and returns its size.
func (s *service) save(file io.Writer, part io.Reader, control *http.ResponseController) (int64, error) {
	validator := csvreport.NewValidator()
	buffer := make([]byte, block)
	for size := int64(0); ; {
		if err := control.SetReadDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return size, err
		}
		n, readErr := fill(part, buffer)
		if size += int64(n); size > s.maxUpload {
			return size, s.tooLarge()
		}
		if _, err := validator.Write(buffer[:n]); err != nil {
			return size, err
		}
		if _, err := file.Write(buffer[:n]); err != nil {
			return size, &diskError{err}
		}
		if errors.Is(readErr, io.EOF) {
			return size, validator.Close()
		}
		if readErr != nil {
			return size, readErr
		}
	}
}

// diskError is a failure on our side, not the sender's.
type diskError struct{ error }

// Unwrap returns the file system's error.
func (e *diskError) Unwrap() error { return e.error }

// fill reads until the buffer is full or the reader ends, with io.EOF at its
// proper end only.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var more int
		more, err = r.Read(buffer[n:])
		n += more
	}
	return n, err
}

// filePart skips to the field "file".
func filePart(form *multipart.Reader) (*multipart.Part, error) {
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, refuse(http.StatusBadRequest, `the form has no field named "file"`)
		}
		if err != nil {
			return nil, err
		}
		if part.FormName() == "file" {
			return part, nil
		}
	}
}

// endOfForm reads what follows the file. A second file would be lost without a
// word, so it is refused.
func endOfForm(form *multipart.Reader) error {
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if part.FormName() == "file" {
			return refuse(http.StatusBadRequest, "send one file at a time")
		}
	}
}

func (s *service) tooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, "the file is larger than %s, the most that is accepted here", size(s.maxUpload))
}

// broken says what an error while reading a form means for its sender.
func (s *service) broken(err error) error {
	var (
		known   *refusal
		content *csvreport.Error
		large   *http.MaxBytesError
		disk    *diskError
	)
	switch {
	case errors.As(err, &known), errors.As(err, &content), errors.As(err, &disk):
		return err
	case errors.As(err, &large):
		return s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "nothing came for %s; the upload was given up", patience)
	}
	return refuse(http.StatusBadRequest, "the form broke off or is malformed; send it again")
}

func drain(body io.Reader, control *http.ResponseController) {
	if control.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		_, _ = io.Copy(io.Discard, body) // whatever happens, the answer follows
	}
}

// displayName makes a sender's file name fit to be shown and stored.
func displayName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, ""), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, name)
	for len(name) > 200 {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	if name == "" || name == "." || name == "/" {
		return "upload.csv"
	}
	return name
}
