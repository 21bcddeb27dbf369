//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "measure: it needs Linux, which says how much of the processor a process used")
	os.Exit(2)
}
