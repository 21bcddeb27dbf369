package demo

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/status"
)

// service is what the web pages and the jobs share. It is safe for concurrent
// use: nothing in it changes once it serves.
type service struct {
	client     *offstage.Client
	tables     *Tables
	flows      *status.Flows
	results    *status.Files
	files      folder
	devices    device.Client
	devicesURL string
	mailAddr   netip.AddrPort // of the inbox's mail server
	mailAfter  time.Duration  // how long a report's page has time to be seen
	address    string         // of the pages, as in "http://127.0.0.1:8484"; "" in a worker
	maxUpload  int64
	localOnly  bool // only this machine is served, so requests must name it
	log        *slog.Logger
	static     staticSite
	pages      pages
}

func newService(ctx context.Context, cfg Config) (*service, error) {
	s := &service{client: offstage.NewClient(cfg.Store), tables: cfg.Tables, maxUpload: cfg.MaxUpload, mailAfter: cfg.MailAfter, log: cfg.Logger}
	var err error
	if s.files, err = openFolder(ctx, cfg.Store, cfg.Dir); err != nil {
		return nil, err
	}
	if s.flows, err = s.newFlows(ctx); err != nil {
		return nil, err
	}
	if s.static, err = newStaticSite(); err != nil {
		return nil, err
	}
	s.pages, err = parsePages(s.static)
	return s, err
}
