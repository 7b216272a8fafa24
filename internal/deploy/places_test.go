package deploy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestPlaces(t *testing.T) {
	p := newPlaces(1)
	if err := p.take(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	waits := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			p.mu.Lock()
			got := len(p.waiting)
			p.mu.Unlock()
			if got == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d wait, want %d", got, n)
			}
		}
	}
	for i, wave := range []int{2, 0, 1, 0, 2} {
		all.Go(func() {
			if err := p.take(t.Context(), wave); err != nil {
				t.Error(err)
			}
			mu.Lock()
			order = append(order, 10*wave+i)
			mu.Unlock()
			p.give()
		})
		waits(i + 1)
	}
	all.Go(func() {
		if err := p.take(ctx, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
	waits(6)
	cancel()
	waits(5)
	p.give()
	all.Wait()
	if want := []int{1, 3, 12, 20, 24}; !slices.Equal(order, want) {
		t.Errorf("they came in the order %v, want %v", order, want)
	}
	if p.free != 1 {
		t.Errorf("%d places are free at the end", p.free)
	}
}

// A place that is given to somebody who gives up at that moment is not lost.
func TestPlacesGivenUp(t *testing.T) {
	p := newPlaces(1)
	for range 2000 {
		if err := p.take(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() {
			if p.take(ctx, 0) == nil {
				p.give()
			}
		})
		both.Go(cancel)
		p.give()
		both.Wait()
	}
	if p.free != 1 {
		t.Errorf("%d places are free at the end", p.free)
	}
}
