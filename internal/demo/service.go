package demo

import (
	"context"
	"log/slog"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/status"
)

// service is what the web pages and the jobs share. It is safe for concurrent
// use: nothing in it changes once it serves.
type service struct {
	client     *offstage.Client
	ledger     *Ledger
	flows      *status.Flows
	results    *status.Files
	files      folder
	devices    device.Client
	devicesURL string
	maxUpload  int64
	localOnly  bool // only this machine is served, so requests must name it
	log        *slog.Logger
	static     staticSite
	pages      pages
}

func newService(ctx context.Context, cfg Config) (*service, error) {
	s := &service{client: offstage.NewClient(cfg.Store), ledger: cfg.Ledger, maxUpload: cfg.MaxUpload, log: cfg.Logger}
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
