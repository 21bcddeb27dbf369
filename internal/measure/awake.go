//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"
)

// awakeCommand is the hidden command of a process that keeps the processors awake.
const awakeCommand = "awake"

// schedIdle is SCHED_IDLE of sched(7): such a thread runs when nothing else wants to.
const schedIdle = 5

// keepAwake keeps all processors from falling asleep until stop is called, with loops
// that run when nothing else wants to. On a virtual machine a processor that has
// slept is woken by its host, and what that takes, which changes twentyfold within
// hours, is charged to whoever woke it.
func keepAwake() (stop func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, awakeCommand)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		var killed *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &killed) {
			return err
		}
		return nil
	}, nil
}

// awake is the whole life of such a process; it returns only an error.
func awake() error {
	failed := make(chan error)
	for range runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			priority := int32(0)
			_, _, errno := syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, 0, schedIdle, uintptr(unsafe.Pointer(&priority)))
			if errno != 0 {
				failed <- errno
				return
			}
			for turns := uint64(0); ; turns++ {
				runtime.KeepAlive(turns)
			}
		}()
	}
	return <-failed
}
