package cli

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
)

// future is the evaluation of one machine that goes on beside other work.
type future struct {
	known   chan struct{} // closed when one of the others is
	details *flake.Details
	err     error
}

// evaluating begins to evaluate machines and gives them, each of which waits for
// its own evaluation when it is needed. The returned function waits for the end
// of all of it.
func (s *session) evaluating(ctx context.Context, names []string, waves map[string]int, unnamed []string) ([]deploy.Machine, func()) {
	futures := map[string]*future{}
	machines := make([]deploy.Machine, len(names))
	for i, name := range names {
		f := &future{known: make(chan struct{})}
		futures[name] = f
		at := s.deployOf(name, nil)
		machines[i] = deploy.Machine{
			Name: name, Class: s.fleet.Machines[name].Class, Address: at.TargetHost, BuildHost: at.BuildHost, Wave: waves[name], Unnamed: slices.Contains(unnamed, name),
			Evaluate: func(ctx context.Context, m *deploy.Machine) error {
				select {
				case <-f.known:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				if f.err != nil {
					return f.err
				}
				at := s.deployOf(name, f.details)
				m.Details, m.Address, m.BuildHost = f.details, at.TargetHost, at.BuildHost
				return nil
			},
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		_, err := s.loader.Each(ctx, s.fleet, names, true, func(name string, d *flake.Details, failed *flake.MachineError) {
			f := futures[name]
			select {
			case <-f.known: // it was asked for twice
				return
			default:
			}
			f.details = d
			if failed != nil {
				f.err = failed
			}
			close(f.known)
		})
		if err == nil {
			err = errors.New("it was not evaluated")
		}
		for _, f := range futures {
			select {
			case <-f.known:
			default:
				f.err = err
				close(f.known)
			}
		}
	})
	return machines, all.Wait
}
