package agent

import (
	"runtime"
	"syscall"
	"time"
)

// usedCPU returns the processor time that the process has used, in seconds.
func usedCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// mostRSS returns the most memory that the process has had resident, in
// megabytes.
func mostRSS() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	unit := 1 << 10
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return float64(u.Maxrss) * float64(unit) / (1 << 20)
}
