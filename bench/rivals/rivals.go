// Package rivals drives the job queues of others that are written in Go, each
// by its own public interface, at the best settings that are documented for it
// or, where its name ends in -defaults, at its own defaults.
package rivals

import (
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
)

// payload is what a job brings along: about 100 bytes of JSON.
type payload struct {
	At  int64  `json:"at"`
	Pad string `json:"pad"`
	Key string `json:"key,omitempty"`
}

var pad = strings.Repeat("x", 62)

// quiet is a logger for systems that want one. Standard output is taken.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 4}))
}

// version returns a module's version in this build, with its name.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return module
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return module + " " + dep.Version
		}
	}
	return module
}
