//go:build !otel

package serve

import (
	"strings"
	"testing"
)

// A build without traces says so, instead of sending none.
func TestNoTraces(t *testing.T) {
	if _, err := NewTracer(t.Context(), "http://localhost:4318"); err == nil || !strings.Contains(err.Error(), "-tags otel") {
		t.Errorf("%v", err)
	}
}
