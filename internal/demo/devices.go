package demo

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/status"
)

// deviceNames are the devices that the pages offer; others work as well.
var deviceNames = []string{"thermostat-1", "pump-2", "valve-3", "meter-4"}

// downTime is how long the button takes a device down.
const downTime = 30 * time.Second

var validDevice = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func deviceID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !validDevice.MatchString(id) {
		return "", refuse(http.StatusNotFound, "no device has such a name: it has 1 to 64 letters, digits, points, dashes and underscores, a letter or digit first")
	}
	return id, nil
}

// createCommand is POST /devices/{id}/commands: it takes a command in and
// answers at once; the job gets it through.
func (s *service) createCommand(w http.ResponseWriter, r *http.Request) {
	id, err := deviceID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	command, reports, err := readCommand(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	args := SendCommand{Device: id, Command: command}
	if reports {
		args.Callback = s.address + "/devices/" + id + "/reports"
	}
	s.accept(w, r, args, "/devices/"+id)
}

// takeReport is POST /devices/{id}/reports: the device says that it has carried a
// command out, and so wakes the job that waits for it.
func (s *service) takeReport(w http.ResponseWriter, r *http.Request) {
	id, err := deviceID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var report device.Report
	if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
		s.fail(w, r, refuse(http.StatusBadRequest, "send the report as JSON: %v", err))
		return
	}
	woken, err := s.client.Signal(r.Context(), reportSignal(id, r.URL.Query().Get("key")), report)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeJSON(w, http.StatusOK, map[string]int{"woken": woken})
}

// readCommand returns the command of a JSON body or a form, and whether the device
// is to report when it is done.
func readCommand(r *http.Request) (command string, reports bool, err error) {
	var body struct {
		Command string `json:"command"`
		Report  bool   `json:"report"`
	}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // an unreadable one is no JSON
	if contentType == "application/json" {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return "", false, refuse(http.StatusBadRequest, `send {"command": "…"}: %v`, err)
		}
	} else {
		body.Command, body.Report = r.PostFormValue("command"), r.PostFormValue("report") != ""
	}
	return body.Command, body.Report, offstage.CheckText("command", body.Command, 256)
}

// commandLine is how far one command is.
type commandLine struct {
	ID      offstage.ID    `json:"id"`
	Command string         `json:"command"`
	State   offstage.State `json:"state"`
	Attempt int            `json:"attempt"`
	Error   *string        `json:"error"`
	Status  string         `json:"status"` // where to follow it
	Since   time.Time      `json:"created_at"`
}

// deviceView is what GET /devices/{id} shows.
type deviceView struct {
	Device    string           `json:"device"`
	Reachable bool             `json:"reachable"` // what follows is known; commands are known in any case
	DownUntil *time.Time       `json:"down_until"`
	Applied   int64            `json:"applied"`
	Log       []device.Applied `json:"log"`
	Commands  []commandLine    `json:"commands"`
}

type devicePage struct {
	frame
	deviceView
	DownTime time.Duration
}

// showDevice is GET /devices/{id}: the device's state, and its commands with how
// far each is, newest first.
func (s *service) showDevice(w http.ResponseWriter, r *http.Request) {
	id, err := deviceID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	view, err := s.viewDevice(r, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "no-store")
	if status.PrefersJSON(r) {
		s.writeJSON(w, http.StatusOK, view)
		return
	}
	s.render(w, http.StatusOK, "device", devicePage{frame{Title: id, Nav: "devices", Every: liveFast, Form: true}, view, downTime})
}

func (s *service) viewDevice(r *http.Request, id string) (deviceView, error) {
	view := deviceView{Device: id, Log: []device.Applied{}, Commands: []commandLine{}}
	found, err := s.client.List(r.Context(), offstage.Filter{Kind: SendCommand{}.Kind(), Tag: deviceTag(id), Limit: 100})
	if err != nil {
		return view, err
	}
	for _, job := range found.Jobs {
		var args SendCommand
		if json.Unmarshal(job.Args, &args) != nil {
			continue // not enqueued by this program; the jobs page has it
		}
		line := commandLine{job.ID, args.Command, job.State, job.Run, nil, s.flows.Link(r, job.ID), job.CreatedAt}
		if text := status.Message(job); text != "" {
			line.Error = &text
		}
		view.Commands = append(view.Commands, line)
	}
	state, err := s.devices.State(r.Context(), s.devicesURL, id)
	if err != nil {
		s.log.WarnContext(r.Context(), "a device's state is unknown", "device", id, "err", err)
		return view, nil
	}
	view.Reachable, view.DownUntil, view.Applied = true, state.DownUntil, state.Applied
	view.Log = state.Log[:min(len(state.Log), 100)]
	return view, nil
}

// takeDown is POST /devices/{id}/down: the device is away for half a minute.
func (s *service) takeDown(w http.ResponseWriter, r *http.Request) {
	id, err := deviceID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if _, err := s.devices.Down(r.Context(), s.devicesURL, id, downTime); err != nil {
		s.fail(w, r, err)
		return
	}
	if status.PrefersHTML(r) {
		http.Redirect(w, r, "/devices/"+id, http.StatusSeeOther)
		return
	}
	s.writeJSON(w, http.StatusOK, map[string]any{"device": id, "down_for": downTime.String()})
}

type devicesPage struct {
	frame
	Devices []string
}

// listDevices is GET /devices.
func (s *service) listDevices(w http.ResponseWriter, _ *http.Request) {
	s.render(w, http.StatusOK, "devices", devicesPage{frame{Title: "Devices", Nav: "devices"}, deviceNames})
}
