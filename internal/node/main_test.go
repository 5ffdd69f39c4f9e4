package node

import (
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/killpoint"
)

func TestMain(m *testing.M) {
	killpoint.Enter()
	goleak.VerifyTestMain(m)
}
