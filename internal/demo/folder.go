package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/offstagehq/offstage"
)

// folder is where the files of one store's jobs lie: a subfolder of the demo's
// directory that is named after the store, so that several stores can share the
// directory and a new database never meets the files of an older one.
type folder struct {
	id   string // names the store, for ever
	path string
}

// openFolder makes the store's subfolder, if need be, and touches nothing else
// in dir.
func openFolder(ctx context.Context, store offstage.Store, dir string) (folder, error) {
	fresh := make([]byte, 8)
	rand.Read(fresh)
	id, err := store.Setting(ctx, "demo/folder", []byte(hex.EncodeToString(fresh)))
	if err != nil {
		return folder{}, fmt.Errorf("name the demo's folder: %w", err)
	}
	f := folder{id: string(id), path: filepath.Join(dir, "files-"+string(id))}
	for _, sub := range []string{f.uploads(), f.results()} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return folder{}, fmt.Errorf("make the demo's folder: %w", err)
		}
	}
	return f, errors.Join(syncDir(f.path), syncDir(dir))
}

func (f folder) uploads() string { return filepath.Join(f.path, "uploads") }
func (f folder) results() string { return filepath.Join(f.path, "results") }
func (f folder) devices() string { return filepath.Join(f.path, "devices") }

// upload returns the path of an upload by the name that its job carries.
func (f folder) upload(name string) (string, error) { return within(f.uploads(), name) }

// within joins a directory and a plain name; the name came back from a store
// that others may write to, so one that leaves the directory is [fs.ErrInvalid].
func within(dir, name string) (string, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") || !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q is not the name of a file in %s: %w", name, filepath.Base(dir), fs.ErrInvalid)
	}
	return filepath.Join(dir, name), nil
}

// newUpload creates an empty file under a new name. The name is durable at
// once: that it is there costs a sync, which is cheaper while nobody waits.
func (f folder) newUpload() (*os.File, string, error) {
	name := rand.Text() + ".csv"
	path := filepath.Join(f.uploads(), name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, "", err
	}
	if err := syncDir(f.uploads()); err != nil {
		return nil, "", errors.Join(err, file.Close(), os.Remove(path))
	}
	return file, name, nil
}
