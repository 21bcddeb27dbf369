package status_test

import (
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// What a user reads of a job's trouble was written for him; what was not stays
// with the operators.
func TestUserError(t *testing.T) {
	secret := "dial tcp 10.0.0.7:5432: password authentication failed"
	for _, c := range []struct {
		job  offstage.JobInfo
		want string
	}{
		{offstage.JobInfo{State: offstage.Failed, Error: status.Tell("line 3: broken", nil).Error()}, "line 3: broken"},
		{offstage.JobInfo{State: offstage.Failed, Error: secret}, "something went wrong on our side; it has been noted"},
		{offstage.JobInfo{State: offstage.Failed, Outcome: offstage.OutcomeTimedOut, Error: secret}, "this took too long and was given up"},
		{offstage.JobInfo{State: offstage.Retrying, Error: secret}, "the last attempt did not work; it is tried again by itself"},
		{offstage.JobInfo{State: offstage.Cancelled, Error: secret}, "this was cancelled"},
		{offstage.JobInfo{State: offstage.Running, Error: secret}, ""},
		{offstage.JobInfo{State: offstage.Ready, Error: secret}, ""},
		{offstage.JobInfo{State: offstage.Completed}, ""},
	} {
		if got := status.Message(c.job); got != c.want {
			t.Errorf("of a %s job the user reads %q, want %q", c.job.State, got, c.want)
		}
	}
}
