package deploy

import (
	"context"
	"slices"
	"sync"
)

// places bound for how many machines a phase runs at once. Of those that wait, the
// ones of the lowest wave come first: the others are changed after them anyway.
type places struct {
	mu      sync.Mutex
	free    int
	waiting []waiter // sorted by wave, then as they came
}

type waiter struct {
	wave  int
	ready chan struct{} // closed when it has the place
}

func newPlaces(n int) *places { return &places{free: n} }

// take waits for a place, or for the end of ctx.
func (p *places) take(ctx context.Context, wave int) error {
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return nil
	}
	w := waiter{wave: wave, ready: make(chan struct{})}
	at, _ := slices.BinarySearchFunc(p.waiting, wave+1, func(w waiter, wave int) int { return w.wave - wave })
	p.waiting = slices.Insert(p.waiting, at, w)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else { // it was given the place meanwhile
		p.giveLocked()
	}
	return ctx.Err()
}

// give gives a place back.
func (p *places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveLocked()
}

func (p *places) giveLocked() {
	if len(p.waiting) == 0 {
		p.free++
		return
	}
	close(p.waiting[0].ready)
	p.waiting = slices.Delete(p.waiting, 0, 1)
}
