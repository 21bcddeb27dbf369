package pgserver

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// process is a running child. It dies with us where the system can do that.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

// launch starts cmd as the account, its output appended to the log file. If we
// die, the child gets the signal.
func launch(cmd *exec.Cmd, as account, logFile string, death syscall.Signal) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has a copy of its own
	as.prepare(cmd)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(as, death)

	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(p.done)
		// "Our death", to the kernel, is the end of the thread that forked.
		// This goroutine keeps that thread for itself as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how a server ends is read from its log
		}
	}()
	return p, <-started
}

// running reports whether the child has not ended. A nil process is not running.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// account is the OS user that servers run as. The zero value is our own.
type account struct {
	uid, gid int
	home     string // its working directory and HOME
	switched bool   // false: our own user
}

// serverAccount returns the user postgres if we are root, else our own, with
// home as its directory, which it is given.
func serverAccount(home string) (account, error) {
	as := account{home: home}
	if os.Geteuid() != 0 {
		return as, nil
	}
	found, err := user.Lookup("postgres")
	if err != nil {
		return as, fmt.Errorf("run by root, the server needs an OS user to run as: %w", err)
	}
	as.switched = true
	if as.uid, err = strconv.Atoi(found.Uid); err != nil {
		return as, err
	}
	if as.gid, err = strconv.Atoi(found.Gid); err != nil {
		return as, err
	}
	return as, os.Chown(home, as.uid, as.gid)
}

// prepare makes cmd independent of our own directory, locale, time zone and
// PG* variables, none of which the account may be able to use.
func (as account) prepare(cmd *exec.Cmd) {
	cmd.Dir = as.home
	cmd.Env = []string{"HOME=" + as.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// tail returns the end of a log file, for error messages.
func tail(name string) string {
	const most = 2000
	file, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(file)
	return string(text)
}
