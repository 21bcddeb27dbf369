package main

import (
	"bufio"
	"crypto/sha256"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is where the figures come from.
type machine struct {
	OS     string  `json:"os"`
	Kernel string  `json:"kernel,omitempty"`
	CPU    string  `json:"cpu,omitempty"`
	Cores  int     `json:"cores"`
	Memory string  `json:"memory,omitempty"`
	Go     string  `json:"go"`
	Sync   float64 `json:"fsync_per_s"` // of 8 KiB, one after the other, where the servers keep their data
	At     string  `json:"at"`
}

func describeMachine() machine {
	return machine{
		OS: runtime.GOOS + "/" + runtime.GOARCH, Kernel: line1("/proc/sys/kernel/osrelease"),
		CPU: field("/proc/cpuinfo", "model name"), Memory: field("/proc/meminfo", "MemTotal"),
		Cores: runtime.NumCPU(), Go: runtime.Version(), Sync: syncRate(), At: time.Now().UTC().Format(time.RFC3339),
	}
}

// line1 returns a file's first line, "" if it cannot be read.
func line1(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

// field returns the first value of a name in one of Linux's tables, "" if there
// is none.
func field(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// syncRate measures how often per second a page can be written and synced.
func syncRate() float64 {
	dir, err := os.MkdirTemp("", "offstage-bench-")
	if err != nil {
		return 0
	}
	defer os.RemoveAll(dir)
	file, err := os.Create(filepath.Join(dir, "page"))
	if err != nil {
		return 0
	}
	defer file.Close()
	page, begin, n := make([]byte, 8<<10), time.Now(), 0
	for ; time.Since(begin) < 300*time.Millisecond; n++ {
		if _, err := file.WriteAt(page, 0); err != nil {
			return 0
		}
		if err := file.Sync(); err != nil {
			return 0
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}

// calibrate returns how many milliseconds a fixed piece of work takes. Where
// this differs between runs, the machine was slower or busy, not the system.
func calibrate() float64 {
	begin := time.Now()
	sum := sha256.Sum256(nil)
	for range 200_000 {
		sum = sha256.Sum256(sum[:])
	}
	runtime.KeepAlive(sum)
	return time.Since(begin).Seconds() * 1000
}
