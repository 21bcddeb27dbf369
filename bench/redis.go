package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// redisServer is a Redis that keeps what it acknowledges in an append-only file.
type redisServer struct {
	cmd      *exec.Cmd
	dir      string
	addr     string
	settings map[string]string
}

// startRedis starts a server of its own; fsync is everysec or always.
func startRedis(ctx context.Context, fsync string) (*redisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis-server is needed (Debian: package redis-server): %w", err)
	}
	text, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return nil, err
	}
	r := &redisServer{settings: map[string]string{
		"server_version": strings.TrimSpace(string(text)), "appendonly": "yes", "appendfsync": fsync, "save": "none",
	}}
	if r.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp("", "offstage-bench-"); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--dir", r.dir, "--daemonize", "no",
		"--appendonly", "yes", "--appendfsync", fsync, "--save", "", "--loglevel", "warning")
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(r.dir))
	}
	for try := 0; try < 100; try++ {
		if err = r.flush(ctx); err == nil {
			return r, nil
		}
		rest(ctx, 50*time.Millisecond)
	}
	return nil, errors.Join(err, r.close())
}

// freeAddr returns a loopback address at which nobody listens now.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (r *redisServer) url() string { return "redis://" + r.addr }

// flush empties the server.
func (r *redisServer) flush(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("FLUSHALL\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err == nil && !strings.HasPrefix(string(answer[:n]), "+OK") {
		err = fmt.Errorf("FLUSHALL was answered by %q", answer[:n])
	}
	return err
}

// close stops the server and removes its data.
func (r *redisServer) close() error {
	err := r.cmd.Process.Signal(os.Interrupt)
	if err == nil {
		_ = r.cmd.Wait() // it ends by the signal
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}
