package vars

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// noTestContext is for what runs outside a test.
var noTestContext = context.Background()

func TestLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), file, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lock(t.Context(), file, 200*time.Millisecond)
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() || !strings.Contains(err.Error(), "wait until it has ended") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, file, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { time.Sleep(100 * time.Millisecond); unlock() }()
	again, err := lock(t.Context(), file, 10*time.Second)
	if err != nil {
		t.Fatalf("a lock that is given up is not taken: %v", err)
	}
	again()
}

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
	unlock, err := lock(t.Context(), filepath.Join(w.root, ".git/fleet-vars.lock"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	var busy *BusyError
	if _, err := w.run(Request{Regenerate: []string{"a"}}); !errors.As(err, &busy) {
		t.Errorf("got %v", err)
	}
}
