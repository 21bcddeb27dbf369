package postgres_test

import (
	"testing"

	"github.com/offstagehq/offstage/internal/model"
	"github.com/offstagehq/offstage/internal/pgtest"
)

func TestModel(t *testing.T) {
	db := pgtest.Open(t)
	model.Run(t, newHarness(db.URL, db.URL))
}

func TestModelFlows(t *testing.T) {
	db := pgtest.Open(t)
	model.RunFlows(t, newHarness(db.URL, db.URL))
}
