//go:build !unix

package builtin

import "os/exec"

// There are no process groups here: the command alone is killed.

func inGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
