package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/ssh"
)

// A copy, or a build on another host, is tried copyTries times with pauses that grow from copyPause: Nix goes
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
	return d.duringOf(ctx, Copy, s.Wave, func() error {
		d.emit(s.Machine, Copy, Started, "")
		var note string
		try := func() (err error) { note, err = w.tryCopy(ctx); return err }
		final := func(err error) bool {
			var full *DiskFullError
			return errors.As(err, &full) || errors.Is(err, ssh.ErrSilent)
		}
		if err := w.retry(ctx, Copy, try, final, w.reconnect); err != nil {
			return err
		}
		d.emit(s.Machine, Copy, Done, note)
		return nil
	})
}

// retry tries something up to copyTries times, with pauses that grow, unless it
// fails for good or another run takes the machine, and connects anew before each
// further time.
func (w *way) retry(ctx context.Context, phase Phase, try func() error, final func(error) bool, reconnect func(context.Context) error) error {
	for n, pause := 1, copyPause; ; n, pause = n+1, 2*pause {
		err := try()
		if err == nil || ctx.Err() != nil || n == copyTries || final(err) {
			return err
		}
		w.d.emit(w.m.Name, phase, Running, fmt.Sprintf("trying again in %s: %v", pause, err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		err = reconnect(ctx)
		if _, taken := errors.AsType[*BusyError](err); taken || err != nil && n == copyTries-1 {
			return err
		}
	}
}

func (w *way) tryCopy(ctx context.Context) (note string, err error) {
	b, self, err := w.builder()
	switch {
	case err != nil:
		return "", err
	case self:
		return "built on the machine", nil
	case b != nil:
		return "from " + b.name, b.exports.use(ctx, w.s.Wave, func(host *sshTarget) error { return w.transfer(ctx, host) })
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
	return "", w.watched(ctx, w.t, w.copying(), w.t.Traffic, func(ctx context.Context) error {
		return w.d.o.Nix.Copy(ctx, nix.CopyRequest{
			To: store, Paths: []string{w.s.Wanted.OutPath}, NoCheckSigs: true, SubstituteOnDestination: true,
			OnEvent: w.d.nixEvents(w.s.Machine, Copy),
		})
	})
}

// copying says what a copy of the system does.
func (w *way) copying() string { return fmt.Sprintf("copy %s to %s", w.s.Wanted.OutPath, w.t) }

// watched runs a copy to a host, for as long as the bytes grow that it has moved. An
// error begins with what the copy does.
func (w *way) watched(ctx context.Context, host Target, what string, moved func() int64, run func(context.Context) error) error {
	began := time.Now()
	watching, stop := w.watchStall(ctx, moved)
	err := run(watching)
	stalled := context.Cause(watching)
	stop()
	switch {
	case err == nil:
		return nil
	case errors.Is(stalled, errStalled):
		return fmt.Errorf("%s: %w (for %s)", what, errStalled, w.d.o.Timeouts.Stall)
	}
	return w.storeError(ctx, host, began, what, err)
}

// storeError says why something failed that was to be done in the store of a host,
// which knows more of it than Nix does here. What went wrong there before that began
// is no reason: the host may be that of others too.
func (w *way) storeError(ctx context.Context, host Target, began time.Time, what string, err error) error {
	if system := foreignSystem(err); system != "" {
		return &ForeignSystemError{System: system, Host: host.String(), Err: err}
	}
	var reason error
	if host, ok := host.(*sshTarget); ok {
		reason = host.storeErr(began)
	}
	var failed *nix.Error
	switch {
	case isDiskFull(err):
		return w.diskFull(ctx, host, err)
	case reason == nil, errors.As(err, &failed) && len(failed.Failures) > 0:
		return fmt.Errorf("%s: %w", what, reasonOf(err))
	case isDiskFull(reason):
		return w.diskFull(ctx, host, err)
	}
	return fmt.Errorf("%s: %w (%w)", what, reason, err)
}

// watchStall gives a context that ends when nothing has moved for too long.
func (w *way) watchStall(ctx context.Context, moved func() int64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := w.d.o.Timeouts.Stall
	ticker := time.NewTicker(max(limit/10, time.Millisecond))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		sum, since := moved(), time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if now := moved(); now != sum {
				sum, since = now, time.Now()
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

// diskFull looks at a host again, to say how little room there is.
func (w *way) diskFull(ctx context.Context, host Target, err error) error {
	full := &DiskFullError{Target: host.String(), Free: addressOf(host).makeRoom(), Err: err}
	if host == w.t {
		full.Disk = w.s.Now.Store
	}
	ctx, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	if facts, err := host.Inspect(ctx, "", ""); err == nil {
		full.Disk = facts.Store
	}
	return full
}
