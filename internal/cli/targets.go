package cli

import (
	"context"

	"github.com/crs58/fleet/internal/deploy"
)

// onTargets hands on the selected machines with nothing but their addresses, for
// a command that asks the machines themselves. Only a machine whose address
// the inventory leaves open is evaluated for it.
func (a *App) onTargets(ctx context.Context, c choice, do func(context.Context, *session, []deploy.Machine) error) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	names, err := s.choose(c)
	if err != nil {
		return err
	}
	machines, err := s.targets(ctx, names)
	if err != nil {
		return err
	}
	return do(ctx, s, machines)
}

func (s *session) targets(ctx context.Context, names []string) ([]deploy.Machine, error) {
	machines := make([]deploy.Machine, len(names))
	var open []string
	for i, name := range names {
		machines[i] = deploy.Machine{Name: name, Class: s.fleet.Machines[name].Class, Address: s.deployOf(name, nil).TargetHost}
		if machines[i].Address == "" {
			open = append(open, name)
		}
	}
	if len(open) == 0 {
		return machines, nil
	}
	p := s.progress()
	defer p.clear()
	p.get().Set("evaluating", "the machines' addresses", "")
	evaluated, err := s.loader.Details(ctx, s.fleet, open, true) // with less they are not known
	if err != nil {
		return nil, err
	}
	for i := range machines {
		m := &machines[i]
		if m.Address == "" {
			m.Address = s.deployOf(m.Name, evaluated.Details[m.Name]).TargetHost
		}
		if failed := evaluated.Failed[m.Name]; failed != nil {
			m.Err = failed
		}
	}
	return machines, nil
}

// onEvaluating hands on the selected machines, each of which waits for its own
// evaluation when that is needed: the first one need not wait for the last.
func (a *App) onEvaluating(ctx context.Context, p *progress, c choice, do func(context.Context, *session, []deploy.Machine) error) error {
	p.get().Set("evaluating", "the fleet", "")
	s, err := a.openFor(ctx, c.args, false, true)
	var names []string
	if err == nil {
		names, err = s.choose(c)
	}
	if err != nil {
		p.clear()
		return err
	}
	p.get().Remove("evaluating")
	evaluating, cancel := context.WithCancel(ctx)
	machines, wait := s.evaluating(evaluating, names, nil, nil)
	defer wait()
	defer cancel()
	return do(ctx, s, machines)
}
