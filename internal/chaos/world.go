//go:build linux

package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/offstagehq/offstage/internal/chaos/load"
	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/tcpproxy"
)

// world is the database, and on PostgreSQL the network before it: each slot has
// a proxy of its own.
type world struct {
	ground  *load.Ground      // this process's own way to the database, past the proxies
	at      string            // the database's path or URL
	cluster *pgserver.Cluster // nil: it is SQLite
	proxies map[string]*tcpproxy.Proxy
}

const database = "chaos"

func makeWorld(ctx context.Context, cfg config, dir string) (w *world, err error) {
	w = &world{at: filepath.Join(dir, "jobs.db"), proxies: map[string]*tcpproxy.Proxy{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if cfg.store == load.Postgres {
		if w.cluster, err = pgserver.Start(ctx, pgserver.Options{Durable: true}); err != nil {
			return w, err
		}
		if err := w.cluster.CreateDatabase(ctx, database); err != nil {
			return w, err
		}
		w.at = w.cluster.URL(database)
		for _, slot := range slotNames(cfg) {
			if w.proxies[slot], err = tcpproxy.Start(w.cluster.Addr()); err != nil {
				return w, err
			}
		}
	}
	if w.ground, err = load.Open(ctx, cfg.store, w.at); err != nil {
		return w, err
	}
	return w, w.ground.Prepare(ctx)
}

// from returns where a slot's processes find the database.
func (w *world) from(slot string) (string, error) {
	proxy := w.proxies[slot]
	if proxy == nil {
		return w.at, nil
	}
	u, err := url.Parse(w.at)
	if err != nil {
		return "", err
	}
	u.Host = proxy.Addr()
	return u.String(), nil
}

// of returns the proxies of a role.
func (w *world) of(role string) []*tcpproxy.Proxy {
	var proxies []*tcpproxy.Proxy
	for slot, proxy := range w.proxies {
		if strings.HasPrefix(slot, role) {
			proxies = append(proxies, proxy)
		}
	}
	return proxies
}

// heal ends what faults left standing.
func (w *world) heal() error {
	var errs []error
	for _, proxy := range w.proxies {
		errs = append(errs, proxy.Resume())
	}
	return errors.Join(errs...)
}

func (w *world) close() error {
	var errs []error
	if w.ground != nil {
		errs = append(errs, w.ground.Close())
	}
	for _, proxy := range w.proxies {
		if proxy != nil {
			errs = append(errs, proxy.Close())
		}
	}
	if w.cluster != nil {
		errs = append(errs, w.cluster.Close())
	}
	return errors.Join(errs...)
}
