package status

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Once makes a route's requests safe to repeat: when one comes with an
// Idempotency-Key, what its handler reads of the body is hashed on the way, so
// that [Flows.Accept] can tell a repeat, which gets the first one's answer, from
// another request under the same key, which is refused with 422. The hash covers
// form fields and the contents of files, in constant memory, but neither the
// boundary between them nor the files' names. A key is kept for 24 hours, for
// the route and the user.
//
// A handler that begins work before it calls Accept does it again for a repeat;
// [Ticket.Repeated] tells it to drop what it made.
func (f *Flows) Once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, err := keyOf(r)
		if err != nil {
			f.Refuse(w, r, err)
			return
		}
		if key == "" || r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		body := newHashedBody(r)
		defer body.stop()
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body))
		r.Body = body
		next.ServeHTTP(w, r)
	})
}

type bodyKey struct{}

// contentOf returns the hash of a request's body: of what Once saw, or of a form
// that has been parsed.
func contentOf(r *http.Request) ([]byte, error) {
	body, ok := r.Context().Value(bodyKey{}).(*hashedBody)
	switch {
	case ok:
		return body.sum()
	case r.MultipartForm != nil:
		return hashParsed(r.MultipartForm)
	case r.PostForm != nil:
		return hashValues(r.PostForm), nil
	case r.Body == nil || r.Body == http.NoBody:
		return nil, nil
	}
	return nil, errNotHashed
}

// hashedBody is a request's body that hashes what is read of it.
type hashedBody struct {
	io.ReadCloser
	to   io.WriteCloser // takes what is read
	done chan hashed    // of capacity 1
	ok   bool           // the whole of the body was read
	err  error          // of reading, other than io.EOF
}

type hashed struct {
	sum []byte
	err error
}

// maxParts is the most fields and files of a form that is hashed.
const maxParts = 10_000

// maxForm is the most bytes of a form without files that is hashed.
const maxForm = 10 << 20

func newHashedBody(r *http.Request) *hashedBody {
	body := &hashedBody{ReadCloser: r.Body, done: make(chan hashed, 1)}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // an unreadable one is hashed as it is
	from, to := io.Pipe()
	body.to = to
	go func() {
		var h hashed
		switch {
		case kind == "multipart/form-data":
			h.sum, h.err = hashParts(multipart.NewReader(from, params["boundary"]))
		case kind == "application/x-www-form-urlencoded":
			h.sum, h.err = hashForm(from)
		default:
			plain := sha256.New()
			_, h.err = io.Copy(plain, from)
			h.sum = plain.Sum(nil)
		}
		_, _ = io.Copy(io.Discard, from) // whatever follows, the reader must not be held up
		body.done <- h
	}()
	return body
}

// Read reads the body and passes on what it read.
func (b *hashedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.to.Write(p[:n]) // the other side reads to the end
	if errors.Is(err, io.EOF) {
		b.ok = true
	} else if err != nil {
		b.err = err
	}
	return n, err
}

// sum reads what is left of the body and returns its hash.
func (b *hashedBody) sum() ([]byte, error) {
	if !b.ok && b.err == nil {
		_, _ = io.Copy(io.Discard, b) // its error is in b.err
	}
	if b.err != nil {
		return nil, b.err
	}
	h := b.stop()
	b.done <- h // to be asked for again
	if h.err != nil {
		return nil, problem(http.StatusBadRequest, "malformed-body", "the form is malformed; send it again")
	}
	return h.sum, nil
}

// stop ends the hashing.
func (b *hashedBody) stop() hashed {
	_ = b.to.Close() // the end of what is hashed; it cannot fail
	return <-b.done
}

// field is a field or file of a form: its name and the hash of its content.
type field struct {
	name string
	sum  []byte
}

// hashParts hashes a form as it comes, in constant memory for each part.
func hashParts(form *multipart.Reader) ([]byte, error) {
	var fields []field
	for {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			return hashFields(fields), nil
		}
		if err != nil {
			return nil, err
		}
		if len(fields) == maxParts {
			return nil, errors.New("the form has too many parts")
		}
		h := sha256.New()
		if _, err := io.Copy(h, part); err != nil {
			return nil, err
		}
		fields = append(fields, field{part.FormName(), h.Sum(nil)})
	}
}

// hashFields hashes fields in the order of their names; those of one name stay
// in their order.
func hashFields(fields []field) []byte {
	slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	texts := make([]string, 0, 2*len(fields))
	for _, f := range fields {
		texts = append(texts, f.name, string(f.sum))
	}
	return digest(texts...)
}

func hashForm(from io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxForm+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxForm {
		return nil, errors.New("the form is too long")
	}
	values, err := url.ParseQuery(string(text))
	return hashValues(values), err
}

func hashValues(values url.Values) []byte { return hashFields(fieldsOf(values)) }

func fieldsOf(values url.Values) []field {
	var fields []field
	for name, list := range values {
		for _, value := range list {
			sum := sha256.Sum256([]byte(value))
			fields = append(fields, field{name, sum[:]})
		}
	}
	return fields
}

// hashParsed hashes a form that the handler has parsed, the same as while it came.
func hashParsed(form *multipart.Form) ([]byte, error) {
	fields := fieldsOf(form.Value)
	for name, files := range form.File {
		for _, header := range files {
			h := sha256.New()
			if err := hashFile(h, header); err != nil {
				return nil, err
			}
			fields = append(fields, field{name, h.Sum(nil)})
		}
	}
	return hashFields(fields), nil
}

func hashFile(h hash.Hash, header *multipart.FileHeader) (err error) {
	file, err := header.Open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	_, err = io.Copy(h, file)
	return err
}
