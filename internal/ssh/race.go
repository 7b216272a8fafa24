package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// stagger is how much later the next address is tried. It lies between the
// recommended 250 ms of RFC 8305 and what a far host takes to show its key.
const stagger = 300 * time.Millisecond

// race reaches the host by the first of its addresses that answers with a key
// of the host. The others are let go before they log in; so are those that
// answer with a wrong key, which may belong to another host by now. waited tells
// whether a person was asked for something.
func (d *Dialer) race(ctx context.Context, cfg Config) (conn *Conn, waited bool, err error) {
	targets := d.order(cfg)
	cancels := make([]context.CancelFunc, len(targets))
	var winner atomic.Int32
	winner.Store(-1)
	type result struct {
		number int
		conn   *Conn
		waited bool
		err    error
	}
	results := make(chan result, len(targets))
	begin := func(i int) {
		a := &attempt{dialer: d, cfg: cfg, host: cfg.Name, first: func() bool { return winner.CompareAndSwap(-1, int32(i)) }}
		a.cfg.Target = targets[i]
		a.cfg.aliases = namesBeside(targets, i)
		var mine context.Context
		mine, cancels[i] = context.WithCancel(ctx)
		go func() {
			conn, err := a.run(mine)
			results <- result{i, conn, a.keys.waited, err}
		}()
	}
	defer func() {
		for _, cancel := range cancels {
			if cancel != nil {
				cancel()
			}
		}
	}()

	errs := make([]error, len(targets))
	next, pending := 0, 0
	for {
		if next < len(targets) && winner.Load() < 0 {
			begin(next)
			next++
			pending++
		}
		var late <-chan time.Time
		if next < len(targets) {
			late = time.After(cmp.Or(d.stagger, stagger))
		}
		select {
		case <-late:
			continue
		case r := <-results:
			pending--
			won := int(winner.Load()) == r.number
			switch {
			case r.err == nil:
				d.remember(cfg, targets[r.number])
				return r.conn, r.waited, nil
			case won || ctx.Err() != nil:
				return nil, r.waited, r.err
			}
			errs[r.number] = r.err
			if pending == 0 && next == len(targets) {
				return nil, false, allFailed(cfg.Name, errs)
			}
		}
	}
}

// namesBeside are the names of the host that known_hosts may have it by, besides
// that of one of its addresses.
func namesBeside(targets []Target, i int) []string {
	var names []string
	for j, t := range targets {
		port := t.Port
		if port == 0 {
			port = 22
		}
		if j != i {
			names = append(names, knownName(t.Host, port))
		}
	}
	return names
}

// allFailed is the error of a host that no address leads to: a key that is not
// the host's comes first, somebody should look at that.
func allFailed(name string, errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	var suspect *HostKeyError
	slices.SortStableFunc(errs, func(a, b error) int {
		switch x, y := errors.As(a, &suspect), errors.As(b, &suspect); {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})
	verbs := strings.Repeat("; %w", len(errs))[2:]
	all := []any{name, len(errs)}
	for _, err := range errs {
		all = append(all, err)
	}
	return fmt.Errorf("%s is not reached by any of its %d addresses: "+verbs, all...)
}
