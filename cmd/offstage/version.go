package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version says what this program is.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the source; "" is unknown
	Modified bool   `json:"modified"` // the source had changes that no revision has
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "version",
		Short:   "Say what this program is",
		Example: "  offstage version --json",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if p.json {
				return writeJSON(p.stdout, v)
			}
			_, err := fmt.Fprintln(p.stdout, v)
			return err
		},
	}
	p.jsonFlag(command)
	return command
}

// thisVersion reads what the compiler wrote into the program.
func thisVersion() version {
	v := version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

// String returns the version on one line.
func (v version) String() string {
	text := "offstage " + v.Version
	if v.Revision != "" {
		text += " (" + v.Revision[:min(12, len(v.Revision))]
		if v.Modified {
			text += ", modified"
		}
		text += ")"
	}
	return text + " " + v.Go + " " + v.Platform
}
