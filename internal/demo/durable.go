package demo

import (
	"errors"
	"os"
)

// syncEvery is how many bytes a durableFile takes between syncs.
const syncEvery = 4 << 20

// durableFile is a file whose content is synced while more of it still arrives.
// At most two windows of syncEvery bytes are ever unsynced, so that the sync at
// the end is short, however long the file. It is for one goroutine.
type durableFile struct {
	*os.File
	unsynced int
	syncing  chan error // nil: no sync is under way
}

// Write appends p. It waits for the sync of an earlier window before it starts
// the next, which slows the sender down to the speed of the disk.
func (f *durableFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.unsynced += n
	if err != nil || f.unsynced < syncEvery {
		return n, err
	}
	if err := f.wait(); err != nil {
		return n, err
	}
	f.unsynced = 0
	done := make(chan error, 1)
	f.syncing = done
	go func() { done <- f.Sync() }()
	return n, nil
}

// Close makes everything durable and closes the file. Without an error the
// content survives a power cut.
func (f *durableFile) Close() error {
	if err := f.wait(); err != nil {
		return errors.Join(err, f.File.Close())
	}
	return errors.Join(f.Sync(), f.File.Close())
}

// Discard closes the file and removes it.
func (f *durableFile) Discard() error {
	_ = f.wait() // the content is no longer wanted
	return errors.Join(f.File.Close(), os.Remove(f.Name()))
}

// wait ends the sync that is under way, if any.
func (f *durableFile) wait() error {
	if f.syncing == nil {
		return nil
	}
	err := <-f.syncing
	f.syncing = nil
	return err
}
