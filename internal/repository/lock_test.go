package repository

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

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
