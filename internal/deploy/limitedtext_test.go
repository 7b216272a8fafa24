package deploy

import (
	"context"
	"io"
	"strings"
	"testing"
)

// endless is a machine that prints without end.
type endless struct{}

func (endless) run(_ context.Context, _ string, _ io.Reader, stdout io.Writer, _ ...string) error {
	for line := strings.Repeat("x", 1<<20); ; {
		if _, err := io.WriteString(stdout, line); err != nil {
			return err
		}
	}
}

func TestEndlessOutput(t *testing.T) {
	m := scripted{shell: endless{}, name: "ssh://endless"}
	if _, err := m.Inspect(t.Context(), "/key", ""); err == nil || err.Error() != "look at ssh://endless: it prints more than 32 MiB" {
		t.Error(err)
	}
	if _, err := m.Holds(t.Context(), "/key", nil); err == nil || !strings.Contains(err.Error(), "more than 32 MiB") {
		t.Error(err)
	}
}
