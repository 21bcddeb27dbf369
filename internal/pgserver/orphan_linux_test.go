package pgserver_test

import (
	"bufio"
	"errors"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// When the process that started a server is killed, the server goes with it.
func TestServerDiesWithItsParent(t *testing.T) {
	pgtest.Start(t, pgserver.Options{}) // skips where there is none
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	temp := sharedTempDir(t)
	parent := osexec.Command(self)
	parent.Env = append(os.Environ(), orphanEnv+"=1", "TMPDIR="+temp)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	server := postmaster(t, strings.TrimSpace(url))
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // says that it was killed

	waitForEnd(t, server)
}

// postmaster opens a handle on the process that the server's address belongs to.
func postmaster(t *testing.T, url string) (pidfd int) {
	t.Helper()
	const query = "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"
	pid, err := strconv.Atoi(exec(t, url, query))
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err = unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGQUIT, nil, 0) // should be gone already
		_ = unix.Close(pidfd)
	})
	return pidfd
}

// waitForEnd returns when the process has ended, and gives up after a minute.
func waitForEnd(t *testing.T, pidfd int) {
	t.Helper()
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		ready, err := unix.Poll(fds, 60_000)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			t.Fatal(err)
		case ready == 0:
			t.Fatal("the server outlived the process that started it")
		}
		return
	}
}
