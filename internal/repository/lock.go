package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// BusyError says that another run holds the lock.
type BusyError struct {
	File string
	// PID is that of the other run, or 0 if it is not known.
	PID int
}

func (e *BusyError) Error() string {
	who := "another run"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("%s is changing the files of this fleet (lock %s): wait until it has ended and run the command again", who, e.File)
}

// lock takes the lock, waiting a bounded time. The file stays: to remove it
// would let two runs hold two locks of one name.
func lock(ctx context.Context, file string, wait time.Duration) (unlock func(), err error) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	l := flock.New(file, flock.SetPermissions(0o644))
	ok, err := l.TryLockContext(limited, 50*time.Millisecond)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	if !ok {
		data, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		return nil, &BusyError{File: file, PID: pid}
	}
	// Only for the message of whoever comes meanwhile.
	_ = os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
	return func() { _ = l.Unlock() }, nil
}
