package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/status"
)

// SendCommand is a job that gets a command through to a device.
type SendCommand struct {
	Device  string `json:"device"`
	Command string `json:"command"`
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

// sendCommand calls the device under a key that is the job's: however often the
// call is made, the device applies the command once.
func (s *service) sendCommand(ctx context.Context, job *offstage.Job[SendCommand]) (device.Result, error) {
	key := fmt.Sprintf("%s-%d", s.files.id, job.ID)
	result, err := s.devices.Send(ctx, s.devicesURL, job.Args.Device, job.Args.Command, key)
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
