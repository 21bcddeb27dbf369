//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	remindEvery = 50 * time.Millisecond
	batch       = 1024 // IOV_MAX of readv(2): pages that are read in one call
)

// remind reads again and again a byte of each page that a process has, until stop is
// called. Some hosts take away from their virtual machines what these have not touched
// for a second, and to bring a page back takes tens of microseconds, which are charged
// to whoever touches it.
func remind(pid int) (stop func() error) {
	quit, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for again := time.Tick(remindEvery); err == nil; {
			err = touchAll(pid)
			select {
			case <-again:
			case <-quit:
				ended <- err
				return
			}
		}
		ended <- err
	}()
	return func() error {
		close(quit)
		return <-ended
	}
}

// touchAll reads a byte of each page that a process has in memory.
func touchAll(pid int) (err error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, maps.Close()) }()
	// A word for each page, of which the highest bit says that it is there; see
	// pagemap in the kernel's documentation.
	present, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, present.Close()) }()
	size := os.Getpagesize()
	var pages []unix.RemoteIovec
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var from, to uintptr
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); err != nil {
			return fmt.Errorf("%s: %q: %w", maps.Name(), lines.Text(), err)
		}
		if rights[0] != 'r' || strings.HasSuffix(lines.Text(), "]") && strings.Contains(lines.Text(), "[v") {
			continue // what is the kernel's own has no pages to be read
		}
		words := make([]byte, 8*int(to-from)/size)
		if _, err := present.ReadAt(words, 8*int64(from)/int64(size)); err != nil {
			return err
		}
		for i := 0; i < len(words)/8; i++ {
			if binary.NativeEndian.Uint64(words[8*i:])>>63 == 1 {
				pages = append(pages, unix.RemoteIovec{Base: from + uintptr(i*size), Len: 1})
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	bytes := make([]byte, batch)
	for len(pages) > 0 {
		n := min(len(pages), batch)
		local := []unix.Iovec{{Base: &bytes[0]}}
		local[0].SetLen(n)
		read, err := unix.ProcessVMReadv(pid, local, pages[:n], 0)
		switch {
		case errors.Is(err, unix.EFAULT):
			read = 1 // the first is gone by now
		case err != nil:
			return err
		}
		pages = pages[read:]
	}
	return nil
}
