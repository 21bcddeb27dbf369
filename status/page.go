package status

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

//go:embed static
var static embed.FS

// Script and Style are the addresses, below Config.Prefix, of the browser module
// with the element <offstage-status src="{status}"> and of a style for it. They
// change with their content, so that browsers may keep them.
var (
	Script = versioned("status.js")
	Style  = versioned("status.css")
)

// versioned returns the address of a file with a hash of its content.
func versioned(name string) string {
	content, err := fs.ReadFile(static, "static/"+name)
	if err != nil {
		panic(err) // it was embedded
	}
	sum := sha256.Sum256(content)
	return "/" + name + "?v=" + hex.EncodeToString(sum[:6])
}

// serveAsset is GET {prefix}/status.js and status.css.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	content, err := fs.ReadFile(static, "static/"+name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if "/"+name+"?v="+r.URL.Query().Get("v") == versioned(name) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

// pageData is what the plain pages show.
type pageData struct {
	Prefix, Title string
	Refresh       int // seconds until a browser without JavaScript loads the page again; 0: it does not
	Status        *Status
	Problem       *Problem
}

// refresh is how often a page loads itself again where there is no JavaScript, in
// seconds: it takes the focus away, and a click that falls into it.
const refresh = 5

func newPageData(prefix string, s Status) pageData {
	page := pageData{Prefix: prefix, Title: s.Title, Status: &s}
	if !s.State.Terminal() {
		page.Refresh = refresh
	}
	return page
}

// Script and Style are the addresses of the page's module and style.
func (p pageData) Script() string { return p.Prefix + Script }

// Style is the address of the page's style.
func (p pageData) Style() string { return p.Prefix + Style }

// writePage writes a plain page, whole or not at all. It may load nothing but
// what is from here.
func (f *Flows) writePage(w http.ResponseWriter, status int, page *template.Template, data pageData) {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		f.cfg.Logger.Error("offstage: write a status page", "err", err)
		http.Error(w, "something went wrong here; it has been noted", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer") // the address is a secret
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // an error means that the browser has gone
}

// says is what a page says of a job, in a sentence.
func says(s *Status) string {
	switch s.State {
	case offstage.Scheduled:
		return "This will begin later."
	case offstage.Ready:
		if s.Position != nil && s.Position.Ahead > 0 {
			return "This waits for its turn."
		}
		return "This begins in a moment."
	case offstage.Running:
		if s.Cancelling {
			return "This is being cancelled."
		}
		return "This is under way."
	case offstage.Retrying:
		return "This did not work and will be tried again."
	case offstage.Blocked:
		return "This waits for something else."
	case offstage.Completed:
		return "This is done."
	case offstage.Failed:
		return "This could not be done."
	}
	return "This was cancelled."
}

var functions = template.FuncMap{
	"says":  says,
	"span":  spanOf,
	"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"size":  sizeOf,
	"words": func(text any) string { return strings.ReplaceAll(stringOf(text), "_", " ") },
}

// spanOf writes how long something took: "took 1.2s".
func spanOf(from, to *time.Time) string {
	took := max(to.Sub(*from), 0)
	if took < time.Second {
		return "took " + took.Round(time.Millisecond).String()
	}
	return "took " + took.Round(100*time.Millisecond).String()
}

func stringOf(v any) string {
	if s, ok := v.(interface{ String() string }); ok {
		return s.String()
	}
	return ""
}

var layout = template.Must(template.New("layout").Funcs(functions).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
<link rel="stylesheet" href="{{.Style}}">
<script type="module" src="{{.Script}}"></script>
{{if .Refresh}}<noscript><meta http-equiv="refresh" content="{{.Refresh}}"></noscript>{{end}}
</head>
<body>
<main>
{{template "content" .}}
</main>
</body>
</html>
{{define "content"}}{{end}}`))

// pageOf returns the layout with a content.
func pageOf(content string) *template.Template {
	page := template.Must(layout.Clone())
	template.Must(page.New("content").Parse(content))
	return page
}

// statusPage shows a job. Where there is JavaScript its element follows the job
// and, when this has ended, loads the page again for the result.
var statusPage = pageOf(`{{with .Status}}<h1>{{.Title}}</h1>
<offstage-status{{if not .State.Terminal}} src="{{.Links.Self}}" reload{{end}}>
<p class="now"><span class="state {{.State}}" data-part="state">{{.State}}</span> <span data-part="says">{{says .}}</span></p>
<progress data-part="bar" aria-label="Progress"{{with .Progress}}{{if .Total}} value="{{.Done}}" max="{{.Total}}"{{end}}{{end}}{{if ne .State.String "running"}} hidden{{end}}></progress>
<p class="soft" data-part="message">{{if and .Progress (not .State.Terminal)}}{{.Progress.Message}}{{end}}</p>
<p class="soft" data-part="place">{{with .Position}}{{if .More}}More than {{.Ahead}} are before this one.{{else if .Ahead}}{{.Ahead}} before this one.{{end}}{{end}}{{with .StartsAt}} It is expected to start at <time datetime="{{stamp .}}">{{clock .}}</time>.{{end}}</p>
{{$told := and .Error (ne .State.String "cancelled")}}<p class="note bad" data-part="error"{{if not $told}} hidden{{end}}>{{if $told}}{{.Error}}{{end}}</p>
</offstage-status>
{{if .Files}}<ul class="files">{{range .Files}}<li><a href="{{.URL}}">{{.Name}}</a> <span class="soft">{{size .Size}}</span></li>{{end}}</ul>{{end}}
{{with .Links.Result}}<p><a class="button" href="{{.}}">See the result</a></p>{{end}}
{{with .Links.Cancel}}<form method="post" action="{{.}}"><button>Cancel</button></form>{{end}}
{{if .Steps}}<h2>Steps</h2>
<ol class="steps">{{range .Steps}}<li>{{.Name}} <span class="soft">{{if .Until}}until <time datetime="{{stamp .Until}}">{{clock .Until}}</time>{{else if .FinishedAt}}{{if .StartedAt}}{{span .StartedAt .FinishedAt}}{{end}}{{if gt .Tries 1}}, {{.Tries}} tries{{end}}{{if gt .Attempt 1}}, attempt {{.Attempt}}{{end}}{{end}}</span></li>
{{end}}</ol>{{end}}
{{if .Attempts}}<details><summary>Attempts so far: {{len .Attempts}}</summary>
<ol>{{range .Attempts}}<li value="{{.Attempt}}">{{words .Outcome}}, <time datetime="{{stamp .FinishedAt}}">{{clock .FinishedAt}}</time>{{with .Error}}: {{.}}{{end}}</li>{{end}}</ol></details>{{end}}
{{end}}`)
