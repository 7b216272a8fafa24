package deploy

import (
	"context"
	"errors"

	"github.com/crs58/fleet/internal/nix"
)

// Build only builds the machines' systems, here; no target is reached.
func (d *Deployer) Build(ctx context.Context, machines []Machine) *Summary {
	results := make([]Result, len(machines))
	each(machines, func(i int, m Machine) {
		w := &way{d: d, m: m}
		results[i] = d.conclude(w.buildOnly(ctx))
	})
	return d.newSummary(results)
}

func (w *way) buildOnly(ctx context.Context) Result {
	err := w.evaluate(ctx)
	s := Step{Machine: w.m.Name, Class: w.m.Class, Target: w.m.Address}
	switch {
	case err != nil:
		s.setError(Build, err)
	case w.m.Err != nil:
		s.setError(Build, w.m.Err)
	case w.m.Details == nil || w.m.Details.Toplevel == nil:
		s.setError(Build, errors.New("its system was not evaluated"))
	default:
		s.Wanted = *w.m.Details.Toplevel
		s.setError(Build, w.d.build(ctx, s))
	}
	r := newResult(s)
	r.Phase = Build
	if s.Err != nil {
		r = r.fail(ctx, Build, s.Err)
		if r.Next == buildCommand(s.Machine) { // which this is
			r.Next = ""
		}
	}
	return r
}

// build realises the system in the local store.
func (d *Deployer) build(ctx context.Context, s Step) error {
	return d.during(ctx, Build, func() error {
		d.emit(s.Machine, Build, Started, "")
		_, err := d.o.Nix.Build(ctx, nix.BuildRequest{
			Installables: []string{s.Wanted.DrvPath + "^*"},
			OnEvent:      d.nixEvents(s.Machine, Build),
		})
		if err != nil {
			return buildError(s.Wanted.OutPath, err)
		}
		d.emit(s.Machine, Build, Done, s.Wanted.OutPath)
		return nil
	})
}

// nixEvents hands on what is worth showing of Nix's work.
func (d *Deployer) nixEvents(machine string, phase Phase) func(nix.Event) {
	return func(e nix.Event) {
		if e.Kind == nix.Started && (e.Activity == nix.Build || e.Activity == nix.CopyPath) {
			d.emit(machine, phase, Running, e.Name())
		}
	}
}
