//go:build unix

package sqlite_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestOpenReadOnly(t *testing.T) {
	if os.Getuid() == 0 {
		asNobody(t)
		return
	}
	path := filepath.Join(t.TempDir(), "jobs.db")
	if err := open(t, path).Close(); err != nil { // who opens it again must not find it open
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "read-only")
}

// asNobody runs the test in a process of the user nobody: root may write everywhere.
func asNobody(t *testing.T) {
	t.Helper()
	const self = "/proc/self/exe" // wherever it lies: nobody may not look into every folder
	nobody, err := user.Lookup("nobody")
	if _, missing := os.Stat(self); err != nil || missing != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err, missing)
		}
		t.Skip("root may write everywhere, and nobody else can be asked here:", err, missing)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	place, err := os.MkdirTemp("", "offstage-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(place); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(place, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	test := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	test.Dir, test.Env = place, append(os.Environ(), "TMPDIR="+place)
	test.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if said, err := test.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()) {
		t.Errorf("as nobody: %v\n%s", err, said)
	}
}
