//go:build unix

package builtin

import (
	"os/exec"
	"syscall"
)

// inGroup gives a command a process group of its own, which is told to end when
// its context ends.
func inGroup(run *exec.Cmd) {
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGTERM) }
}

// killGroup kills what is left of a command's group.
func killGroup(run *exec.Cmd) {
	if run.Process != nil {
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL) // mostly there is nobody
	}
}
