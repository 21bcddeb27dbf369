package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attributes makes a child run as the account, in a process group of its own
// (so that Ctrl-C in a terminal reaches us alone and we stop it in order), and
// get the signal when we die.
func attributes(as account, death syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
	if as.switched {
		attr.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}
	}
	return attr
}

// killTree kills a process and its children, all at once: it is stopped first,
// so that it neither starts further children nor sees these die. It returns
// when the children are gone; the process itself is for its parent to wait for.
func killTree(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	await(pid, "TZ")
	children := childrenOf(pid)
	for _, id := range append(children, pid) {
		if err := syscall.Kill(id, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("kill process %d: %w", id, err)
		}
	}
	for _, child := range children {
		await(child, "Z")
	}
	return nil
}

// await returns when the process is in one of the states, or is no more: a
// signal's effect comes a moment after its sending.
func await(pid int, states string) {
	for {
		state, _ := status(pid)
		if state == 0 || strings.IndexByte(states, state) >= 0 {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) []int {
	var children []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // fails only on a bad pattern
	for _, stat := range stats {
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		if _, parent := status(id); parent == pid {
			children = append(children, id)
		}
	}
	return children
}

// status returns a process's state letter (0: there is no such process) and parent.
func status(pid int) (state byte, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// "pid (name) S ppid …": the name may hold spaces and parentheses.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 || len(fields[0]) != 1 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0][0], parent
}
