package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/offstagehq/offstage"
)

// Dir returns Blobs in a directory, which it makes if need be. Every process that
// makes or serves files needs the same directory.
func Dir(path string) (Blobs, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(path)
	return dir{root}, err
}

// dir keeps each file as job/run/name, and its content type beside it.
type dir struct{ root string }

// Files that are written, and those that hold content types, begin with a point,
// which names of files do not.
const (
	newPrefix  = ".new-"
	typePrefix = ".type-"
)

func (d dir) of(key BlobKey) string {
	return filepath.Join(d.root, key.Job.String(), strconv.Itoa(key.Run), key.Name)
}

// Create begins a file; see [Blobs].
func (d dir) Create(_ context.Context, key BlobKey, contentType string) (BlobWriter, error) {
	path := d.of(key)
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, typePrefix+key.Name), []byte(contentType), 0o600); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(folder, newPrefix+"*")
	if err != nil {
		return nil, err
	}
	return &dirWriter{File: file, path: path}, nil
}

// dirWriter writes a file under another name until it is whole.
type dirWriter struct {
	*os.File
	path string
	done bool
}

// Close makes the file durable and gives it its name; see [BlobWriter].
func (w *dirWriter) Close() error {
	if w.done {
		return nil
	}
	err := errors.Join(w.Sync(), w.File.Close())
	if err == nil {
		err = os.Rename(w.Name(), w.path)
	}
	w.done = true
	if err != nil {
		return errors.Join(err, os.Remove(w.Name()))
	}
	return syncUp(filepath.Dir(w.path), 3)
}

// Discard drops the file; see [BlobWriter].
func (w *dirWriter) Discard() {
	if w.done {
		return
	}
	w.done = true
	_ = w.File.Close()      // what is in it is not wanted
	_ = os.Remove(w.Name()) // what stays, Sweep removes
}

// syncUp makes the names in a folder durable, and its own in those above it.
func syncUp(folder string, levels int) error {
	for range levels {
		f, err := os.Open(folder)
		if err != nil {
			return err
		}
		err = errors.Join(syncFolder(f), f.Close())
		if err != nil {
			return err
		}
		folder = filepath.Dir(folder)
	}
	return nil
}

// Open opens a file; see [Blobs].
func (d dir) Open(_ context.Context, key BlobKey) (Blob, error) {
	path := d.of(key)
	contentType, err := os.ReadFile(filepath.Join(filepath.Dir(path), typePrefix+key.Name))
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return dirBlob{file, BlobInfo{key, stat.Size(), string(contentType), stat.ModTime()}}, nil
}

type dirBlob struct {
	*os.File
	info BlobInfo
}

// Info describes the file; see [Blob].
func (b dirBlob) Info() BlobInfo { return b.info }

// List returns a job's files; see [Blobs].
func (d dir) List(ctx context.Context, job offstage.ID) ([]BlobInfo, error) {
	runs, err := os.ReadDir(filepath.Join(d.root, job.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []BlobInfo
	for _, entry := range runs {
		run, bad := strconv.Atoi(entry.Name())
		if bad != nil {
			continue // not ours
		}
		files, readErr := os.ReadDir(filepath.Join(d.root, job.String(), entry.Name()))
		err = errors.Join(err, readErr)
		for _, file := range files {
			if strings.HasPrefix(file.Name(), ".") {
				continue
			}
			blob, openErr := d.Open(ctx, BlobKey{job, run, file.Name()})
			if openErr != nil {
				err = errors.Join(err, openErr)
				continue
			}
			list = append(list, blob.Info())
			_ = blob.Close() // it was not even read
		}
	}
	slices.SortFunc(list, func(a, b BlobInfo) int {
		if a.Run != b.Run {
			return a.Run - b.Run
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, err
}

// Remove removes a job's files; see [Blobs].
func (d dir) Remove(_ context.Context, job offstage.ID, except int) error {
	folder := filepath.Join(d.root, job.String())
	if except == 0 {
		return os.RemoveAll(folder)
	}
	runs, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.Name() != strconv.Itoa(except) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, run.Name())))
		}
	}
	return err
}

// Jobs returns the jobs that have files; see [Blobs].
func (d dir) Jobs(_ context.Context, after offstage.ID, limit int) ([]offstage.ID, error) {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return nil, fmt.Errorf("list the jobs that have files: %w", err)
	}
	var ids []offstage.ID
	for _, entry := range entries {
		if id, bad := offstage.ParseID(entry.Name()); bad == nil && id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), limit)], nil
}
