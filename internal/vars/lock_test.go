package vars

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/repository"
)

// noTestContext is for what runs outside a test.
var noTestContext = context.Background()

// Two runs at the same time: one queues, and does not do the work again.
func TestConcurrentRuns(t *testing.T) {
	w := newWorld(t, one(gen("a", `sleep 0.3; cat /proc/sys/kernel/random/uuid > $out/f`, "f")))
	p := w.plan(Request{})
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			opts := w.opts
			opts.OnEvent = nil
			_, err := w.fleet.Run(t.Context(), p, opts)
			errs <- err
		}()
	}
	first, second := <-errs, <-errs
	if first != nil || !errors.Is(second, ErrChanged) {
		t.Errorf("got %v and %v", first, second)
	}
	w.opts.Limits.Lock = 100 * time.Millisecond
	r, err := repository.Open(t.Context(), w.root, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	held, err := r.Begin(t.Context(), time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	var busy *repository.BusyError
	if _, err := w.run(Request{Regenerate: []string{"a"}}); !errors.As(err, &busy) {
		t.Errorf("got %v", err)
	}
}
