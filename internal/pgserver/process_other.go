//go:build !linux

package pgserver

import (
	"fmt"
	"os"
	"syscall"
)

// attributes asks for nothing: neither another user nor a signal at our death
// can be had in the same way everywhere.
func attributes(account, syscall.Signal) *syscall.SysProcAttr { return nil }

// killTree kills the process; PostgreSQL's children see that and end by themselves.
func killTree(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("find process %d: %w", pid, err)
	}
	return process.Kill()
}
