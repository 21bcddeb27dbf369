package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The demo says where everything is, answers, and stops when it is told to.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, stdout := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		p := &program{getenv: os.Getenv}
		code <- p.Run(ctx, []string{"demo", "--addr", "127.0.0.1:0", "--data", dir}, strings.NewReader(""), stdout, &stderr)
		_ = stdout.Close()
	}()
	said := make([]byte, 0, 1000)
	for !bytes.Contains(said, []byte("stop ")) {
		piece := make([]byte, 1000)
		n, err := reader.Read(piece)
		if said = append(said, piece[:n]...); err != nil {
			t.Fatalf("the demo said %s and ended: %s", said, stderr.String())
		}
	}
	_, rest, _ := strings.Cut(string(said), "open")
	url := strings.Fields(rest)[0]
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s", url, response.Status)
	}
	for _, place := range []string{dir + "\n", filepath.Join(dir, "offstage.db")} {
		if !strings.Contains(string(said), place) {
			t.Errorf("the demo does not say %s: %s", place, said)
		}
	}
	cancel()
	if got := <-code; got != exitDone {
		t.Errorf("the demo ended with %d: %s", got, stderr.String())
	}
	if text, err := os.ReadFile(filepath.Join(dir, "mine.txt")); err != nil || string(text) != "mine" {
		t.Errorf("the file that was there is now %q, %v", text, err)
	}
}

// A taken address that was asked for is refused, with a sentence and 1.
func TestDemoOnATakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	got := run(t, "", "", "demo", "--addr", taken.Addr().String(), "--data", t.TempDir())
	if got.code != exitFailed || !strings.Contains(got.stderr, "is taken by another program") || got.stdout != "" {
		t.Errorf("%+v", got)
	}
}

// Who opens the demo to the network is warned.
func TestDemoWarnsOfStrangers(t *testing.T) {
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr}
	p.announce(listener, "all", "data", place{url: "postgres://me:secret@db/x"})
	if !strings.Contains(stderr.String(), "no login") {
		t.Errorf("stderr is %q", stderr.String())
	}
	if strings.Contains(stdout.String(), "secret") || !strings.Contains(stdout.String(), "http://127.0.0.1:") {
		t.Errorf("stdout is %q", stdout.String())
	}
}

// Places are told apart by their form.
func TestParsePlace(t *testing.T) {
	for text, want := range map[string]place{
		"jobs.db":               {file: "jobs.db"},
		"sqlite:jobs.db":        {file: "jobs.db"},
		"sqlite:///var/jobs.db": {file: "/var/jobs.db"},
		"./postgres":            {file: "./postgres"},
		`C:\data\jobs.db`:       {file: `C:\data\jobs.db`},
		"postgres://h/db":       {url: "postgres://h/db"},
		"postgresql://u:p@h/db": {url: "postgresql://u:p@h/db"},
		":memory:":              {file: ":memory:"},
	} {
		if got, err := parsePlace(text, ""); got != want || err != nil {
			t.Errorf("%q is read as %+v, %v; want %+v", text, got, err, want)
		}
	}
	shown := place{url: "postgres://u:secret@h/db?password=secret&x=1"}.String()
	if strings.Contains(shown, "secret") {
		t.Errorf("the password is shown: %s", shown)
	}
}
