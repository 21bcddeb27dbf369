package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// How often a page asks whether something has changed, in milliseconds.
const (
	liveFast = 500
	liveSlow = 2000
)

// frame is what every page has.
type frame struct {
	Title string
	Nav   string // the entry of the navigation that is current
	Every int    // the page follows what changes, looking every so many ms; 0: it does not
	Form  bool   // it has fields to fill in, which a reload would empty
}

// pages are the parsed templates by page. They are safe for concurrent use.
type pages map[string]*template.Template

// parsePages reads the embedded templates: each page with the layout round it.
func parsePages(static staticSite) (pages, error) {
	parsed := pages{}
	functions := template.FuncMap{
		"asset": static.url, "size": size, "number": number, "figure": figure, "ago": ago, "took": took, "stamp": stamp,
	}
	names, err := fs.Glob(templateFiles, "templates/page_*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		page, err := template.New("layout.html").Funcs(functions).
			ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", name)
		if err != nil {
			return nil, err
		}
		key := path.Base(name)
		parsed[key[len("page_"):len(key)-len(".html")]] = page
	}
	return parsed, nil
}

// render writes a page, whole or not at all.
func (s *service) render(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := s.pages[name].Execute(&body, data); err != nil {
		s.log.Error("render a page", "page", name, "err", err)
		http.Error(w, "something went wrong here; it has been logged", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // an error means that the browser has gone
}

// staticSite serves the embedded files under addresses that change with their
// content, so that browsers may keep them.
type staticSite struct{ version map[string]string }

func newStaticSite() (staticSite, error) {
	site := staticSite{map[string]string{}}
	err := fs.WalkDir(staticFiles, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := staticFiles.ReadFile(name)
		sum := sha256.Sum256(content)
		site.version["/"+name] = hex.EncodeToString(sum[:6])
		return err
	})
	return site, err
}

// url returns the address of a static file.
func (s staticSite) url(name string) string {
	name = "/static/" + name
	return name + "?v=" + s.version[name]
}

func (s staticSite) serve(w http.ResponseWriter, r *http.Request) {
	version := s.version[r.URL.Path]
	if version == "" {
		http.NotFound(w, r)
		return
	}
	if r.URL.Query().Get("v") == version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("ETag", `"`+version+`"`)
	content, err := staticFiles.ReadFile(r.URL.Path[1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, path.Base(r.URL.Path), time.Time{}, bytes.NewReader(content))
}
