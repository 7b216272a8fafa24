package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crs58/fleet/internal/nix"
)

// A copy is tried copyTries times with pauses that grow from copyPause: Nix goes
// on with the path that it was at.
const (
	copyTries = 4
	copyPause = time.Second
)

// errStalled is why a copy is given up that moves nothing.
var errStalled = errors.New("nothing moves any more")

// copy brings the system into the machine's store.
func (w *way) copy(ctx context.Context) error {
	d, s := w.d, w.s
	return d.during(ctx, Copy, func() error {
		d.emit(s.Machine, Copy, Started, "")
		for try, pause := 1, copyPause; ; try, pause = try+1, 2*pause {
			note, err := w.tryCopy(ctx)
			var full *DiskFullError
			switch {
			case err == nil:
				d.emit(s.Machine, Copy, Done, note)
				return nil
			case ctx.Err() != nil || errors.As(err, &full) || try == copyTries:
				return err
			}
			d.emit(s.Machine, Copy, Running, fmt.Sprintf("trying again in %s: %v", pause, err))
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := w.reconnect(ctx); err != nil && try == copyTries-1 {
				return err
			}
		}
	})
}

// reconnect makes a connection anew and claims the machine over it.
func (w *way) reconnect(ctx context.Context) error {
	if err := w.t.Reconnect(ctx); err != nil || w.release == nil {
		return err
	}
	w.release()
	return w.claim(ctx)
}

func (w *way) tryCopy(ctx context.Context) (note string, err error) {
	out := w.s.Wanted.OutPath
	b, self, err := w.builder()
	switch {
	case err != nil:
		return "", err
	case self:
		return "built on the machine", nil
	case b != nil:
		watched, stop := w.watchStall(ctx)
		defer stop()
		err := w.transfer(watched, b)
		if isDiskFull(err) || isDiskFull(w.t.StoreErr()) {
			return "", w.diskFull(ctx, err)
		}
		return "from " + b.t.name, err
	}
	opening, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	store, err := w.t.Store(opening)
	switch {
	case err != nil:
		return "", err
	case store == "":
		return "built in the store of this machine", nil
	}
	watched, stop := w.watchStall(ctx)
	err = w.d.o.Nix.Copy(watched, nix.CopyRequest{
		To: store, Paths: []string{out}, NoCheckSigs: true, SubstituteOnDestination: true,
		OnEvent: w.d.nixEvents(w.s.Machine, Copy),
	})
	stalled := context.Cause(watched)
	stop()
	reason := w.t.StoreErr()
	switch {
	case err == nil:
		return "", nil
	case isDiskFull(err) || isDiskFull(reason):
		return "", w.diskFull(ctx, err)
	case errors.Is(stalled, errStalled):
		return "", fmt.Errorf("copy %s to %s: %w (for %s)", out, w.t, errStalled, w.d.o.Timeouts.Stall)
	case reason != nil:
		return "", fmt.Errorf("copy %s to %s: %w (%w)", out, w.t, reason, err)
	}
	return "", fmt.Errorf("copy %s to %s: %w", out, w.t, err)
}

// watchStall gives a context that ends when nothing was sent to the machine's
// store, nor received from it, for too long.
func (w *way) watchStall(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := w.d.o.Timeouts.Stall
	ticker := time.NewTicker(max(limit/10, time.Millisecond))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		moved, since := w.t.Traffic(), time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if now := w.t.Traffic(); now != moved {
				moved, since = now, time.Now()
			} else if time.Since(since) >= limit {
				cancel(errStalled)
				return
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended // whoever makes the connection anew is alone with it
	}
}

// diskFull looks at the machine again, to say how little room there is.
func (w *way) diskFull(ctx context.Context, err error) error {
	full := &DiskFullError{Target: w.t.String(), Disk: w.s.Now.Store, Free: addressOf(w.t).makeRoom(), Err: err}
	ctx, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	if facts, err := w.t.Inspect(ctx, w.s.KeyFile, ""); err == nil {
		full.Disk = facts.Store
	}
	return full
}
