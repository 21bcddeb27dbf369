package postgres_test

import (
	"testing"

	"github.com/offstagehq/offstage/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
