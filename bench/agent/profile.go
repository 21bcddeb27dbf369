package agent

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// profiler writes a CPU profile for each order that takes time.
type profiler struct {
	prefix string // of the files' names; "": no profiles
	orders int
}

func (p *profiler) during(order string, do func() (any, error)) (any, error) {
	p.orders++
	if p.prefix == "" || order != "insert" && order != "finish" && order != "steady" && order != "probe" {
		return do()
	}
	file, err := os.Create(fmt.Sprintf("%s-%02d-%s.pprof", p.prefix, p.orders, order))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	with, err := do()
	pprof.StopCPUProfile()
	return with, errors.Join(err, file.Close())
}
