package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// deviceState reads what programs see of a device.
func (s *site) deviceState(id string) deviceView {
	s.t.Helper()
	got := s.get("/devices/"+id, "Accept", "application/json")
	var view deviceView
	if err := json.Unmarshal([]byte(got.body), &view); err != nil || got.status != http.StatusOK {
		s.t.Fatalf("GET /devices/%s: %d %s", id, got.status, got.body)
	}
	return view
}

func (s *site) command(id, command string) answer {
	s.t.Helper()
	return s.send(s.request(http.MethodPost, "/devices/"+id+"/commands", strings.NewReader(`{"command":"`+command+`"}`),
		"Content-Type", "application/json"))
}

// Commands are accepted at once and applied once, though half of the calls go
// wrong, some of them after the command was applied.
func TestDeviceAppliesEachCommandOnce(t *testing.T) {
	s := start(t)
	const commands = 8
	paths := make([]string, commands)
	for i := range paths {
		got := s.command("pump-2", fmt.Sprintf("open %d", i))
		if got.status != http.StatusAccepted {
			t.Fatalf("a command was answered with %d %s", got.status, got.body)
		}
		paths[i] = got.header.Get("Location")
	}
	for _, path := range paths {
		s.awaitState(path, offstage.Completed)
	}
	view := s.deviceState("pump-2")
	applied := map[string]int{}
	for _, one := range view.Log {
		applied[one.Command]++
	}
	if view.Applied != commands || len(applied) != commands {
		t.Errorf("the device applied %d commands: %v", view.Applied, applied)
	}
	if len(view.Commands) != commands || view.Commands[0].State != offstage.Completed || view.Commands[0].Command != fmt.Sprintf("open %d", commands-1) {
		t.Errorf("the device's page lists %+v", view.Commands)
	}
	if page := s.get("/devices/pump-2"); !strings.Contains(page.body, "open 3") || !strings.Contains(page.body, paths[3]) {
		t.Error("the page does not show the command and its status link")
	}
	if page := s.get(paths[3], "Accept", "text/html"); !strings.Contains(page.body, `href="/devices/pump-2"`) {
		t.Error("the command's page does not lead back to its device")
	}
}

// While a device is down its commands are kept and its user is told; when it is
// back they arrive.
func TestDeviceDown(t *testing.T) {
	s := start(t)
	if got := s.press("/devices/valve-3/down", nil); got.status != http.StatusSeeOther {
		t.Fatalf("taking the device down was answered with %d %s", got.status, got.body)
	}
	if view := s.deviceState("valve-3"); view.DownUntil == nil {
		t.Fatal("the device is not down")
	}
	path := s.command("valve-3", "close").header.Get("Location")
	got := s.awaitState(path, offstage.Retrying)
	if text := value(got.Error); !strings.Contains(text, "does not answer") {
		t.Errorf("the user reads %s", text)
	}
	if view := s.deviceState("valve-3"); view.Applied != 0 || view.Commands[0].Error == nil {
		t.Errorf("the device shows %+v", view)
	}
	if page := s.get("/devices/valve-3"); !strings.Contains(page.body, "down") {
		t.Error("the page does not show that the device is down")
	}
}

// Commands come as JSON or from a form; what is neither is refused.
func TestDeviceCommandForms(t *testing.T) {
	s := start(t, withoutWorker)
	if got := s.press("/devices/meter-4/commands", url.Values{"command": {"reset"}}); got.status != http.StatusSeeOther || got.header.Get("Location") != "/devices/meter-4" {
		t.Errorf("a form is answered with %d %s", got.status, got.header.Get("Location"))
	}
	post := func(path, contentType, body string) answer {
		return s.send(s.request(http.MethodPost, path, strings.NewReader(body), "Content-Type", contentType))
	}
	for _, c := range []struct {
		path, contentType, body string
		status                  int
	}{
		{"/devices/meter-4/commands", "application/json", `{"command":`, 400},
		{"/devices/meter-4/commands", "application/json", `{}`, 422},
		{"/devices/meter-4/commands", "application/json", `{"command":"a\u0000b"}`, 422},
		{"/devices/meter-4/commands", "application/json", `{"command":"` + strings.Repeat("x", 300) + `"}`, 422},
		{"/devices/meter-4/commands", "application/x-www-form-urlencoded", "", 422},
		{"/devices/-bad/commands", "application/json", `{"command":"x"}`, 404},
	} {
		if got := post(c.path, c.contentType, c.body); got.status != c.status {
			t.Errorf("%s with %.40s is answered with %d %s, want %d", c.path, c.body, got.status, got.body, c.status)
		}
	}
	if jobs := s.jobs("send_command"); len(jobs) != 1 {
		t.Errorf("%d commands were enqueued, want 1", len(jobs))
	}
}
