package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/status"
)

// SendCommand is a job that gets a command through to a device.
type SendCommand struct {
	Device  string `json:"device"`
	Command string `json:"command"`
	// Callback is where the device is to report when it is done, but for the name of
	// the signal; "": the command is done when the device has taken it.
	Callback string `json:"callback,omitempty"`
}

// Kind returns "send_command".
func (SendCommand) Kind() string { return "send_command" }

// EnqueueOptions puts commands into a queue of their own and tags each with its
// device, so that the device's page finds them.
func (c SendCommand) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("devices"), offstage.Tags(deviceTag(c.Device))}
}

func deviceTag(id string) string { return "device:" + id }

// commandRetry keeps trying for an hour. Its waits are short, so that a device
// that comes back does not wait long for what was meant for it.
var commandRetry = offstage.RetryPolicy{
	MaxAttempts: 5000,
	Budget:      time.Hour,
	Backoff: func(failed int) time.Duration {
		return min(time.Duration(failed)*300*time.Millisecond, 2*time.Second)
	},
}

// reportWithin is how long a device may work on a command before it is asked.
const reportWithin = time.Minute

// sendCommand gets a command through, once, and waits, if it is to, for the
// device's report. That it got through is remembered: while the job waits it has no
// slot, and when the report wakes it the command is not sent again.
func (s *service) sendCommand(ctx context.Context, job *offstage.Job[SendCommand]) (device.Result, error) {
	key := fmt.Sprintf("%s-%d", s.files.id, job.ID)
	if job.Args.Callback == "" {
		return s.getThrough(ctx, job, key, "")
	}
	result, err := offstage.Step(ctx, "send", func(ctx context.Context) (device.Result, error) {
		return s.getThrough(ctx, job, key, job.Args.Callback+"?key="+url.QueryEscape(key))
	})
	if err != nil {
		return result, err
	}
	offstage.Progress(ctx, 1, 2, "the device works on it")
	_, err = offstage.WaitFor[device.Report](ctx, reportSignal(job.Args.Device, key), offstage.Within(reportWithin))
	if errors.Is(err, offstage.ErrNoSignal) {
		// The report was lost, but the command is in the device's log: it is done.
		offstage.Logger(ctx).WarnContext(ctx, "the device did not report in time", "device", job.Args.Device)
		err = nil
	}
	return result, err
}

// reportSignal names the signal that a device's report on a command is.
func reportSignal(id, key string) string { return "device/" + id + "/" + key }

// getThrough calls the device under a key that is the job's: however often the
// call is made, the device applies the command once.
func (s *service) getThrough(ctx context.Context, job *offstage.Job[SendCommand], key, callback string) (device.Result, error) {
	result, err := s.devices.SendWithCallback(ctx, s.devicesURL, job.Args.Device, job.Args.Command, key, callback)
	var (
		away     *device.UnavailableError
		rejected *device.RejectedError
	)
	switch {
	case errors.As(err, &rejected):
		return result, offstage.Fail(status.Tell("the device refuses this command: "+rejected.Reason, err))
	case errors.As(err, &away):
		offstage.Logger(ctx).InfoContext(ctx, "the command did not get through", "device", away.Device, "err", away.Reason)
		err = status.Tell("the device does not answer; it is tried again by itself", err)
		if away.RetryAfter > 0 {
			err = offstage.RetryAfter(away.RetryAfter, err)
		}
	}
	return result, err
}
