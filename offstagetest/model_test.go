package offstagetest_test

import (
	"testing"

	"github.com/offstagehq/offstage/internal/model"
)

func TestModel(t *testing.T)      { model.Run(t, harness) }
func TestModelFlows(t *testing.T) { model.RunFlows(t, harness) }
