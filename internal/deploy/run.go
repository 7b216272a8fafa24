package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/nix"
)

// Run does what a plan says and tells how each machine ended. When ctx ends,
// nothing new is begun: builds and copies stop, and activations under way are
// waited for.
func (d *Deployer) Run(ctx context.Context, plan *Plan) *Summary {
	results := make([]Result, len(plan.Steps))
	each(plan.Steps, func(i int, s Step) { results[i] = d.conclude(d.runStep(ctx, s)) })
	return newSummary(results)
}

// Update plans and runs: a machine that answers at once does not wait for one
// that does not.
func (d *Deployer) Update(ctx context.Context, machines []Machine) *Summary {
	results := make([]Result, len(machines))
	each(machines, func(i int, m Machine) {
		results[i] = d.conclude(d.runStep(ctx, d.planMachine(ctx, m)))
	})
	return newSummary(results)
}

// Build only builds the machines' systems, here; no target is reached.
func (d *Deployer) Build(ctx context.Context, machines []Machine) *Summary {
	results := make([]Result, len(machines))
	each(machines, func(i int, m Machine) {
		s := Step{Machine: m.Name, Class: m.Class, Target: m.Address}
		switch {
		case m.Err != nil:
			s.setError(Build, m.Err)
		case m.Details == nil || m.Details.Toplevel == nil:
			s.setError(Build, errors.New("its system was not evaluated"))
		default:
			s.Wanted = *m.Details.Toplevel
		}
		r := newResult(s)
		r.Phase = Build
		if s.Err == nil {
			s.Err = d.build(ctx, s)
		}
		if s.Err != nil {
			r = r.fail(ctx, Build, s.Err)
			if r.Next == buildCommand(m.Name) { // which this is
				r.Next = ""
			}
		}
		results[i] = d.conclude(r)
	})
	return newSummary(results)
}

// conclude closes a machine's events.
func (d *Deployer) conclude(r Result) Result {
	d.emit(r.Machine, End, r.State, r.Message)
	return r
}

func newResult(s Step) Result {
	return Result{Machine: s.Machine, Target: s.Target, Out: s.Wanted.OutPath, State: Done}
}

// runStep takes one machine through its phases.
func (d *Deployer) runStep(ctx context.Context, s Step) Result {
	r := newResult(s)
	switch {
	case s.Err != nil:
		return r.fail(ctx, s.Phase, s.Err)
	case !s.Activate:
		r.State, r.Message = Unchanged, strings.Join(s.Notes, "; ")
		return r
	}
	t, err := d.target(s.Machine, s.Class, s.Target)
	if err != nil {
		return r.fail(ctx, Reach, err)
	}
	if err := d.settle(ctx, s, t); err != nil {
		return r.fail(ctx, Reach, err)
	}
	release, err := t.Claim(ctx, d.o.Run, d.o.Owner)
	if err != nil {
		return r.fail(ctx, Reach, err)
	}
	defer release()
	if err := d.build(ctx, s); err != nil {
		return r.fail(ctx, Build, err)
	}
	if err := d.copy(ctx, s, t); err != nil {
		return r.fail(ctx, Copy, err)
	}
	if err := d.putKey(ctx, s, t); err != nil {
		return r.fail(ctx, Secrets, err)
	}
	err = d.during(ctx, Activate, func() error {
		r = d.activate(ctx, s, t, r)
		return nil
	})
	if err != nil {
		return r.fail(ctx, Activate, err)
	}
	return r
}

// settle brings a deploy to its end that was cut off on the machine: by a
// restart, or because its supervisor was killed where nobody starts it again.
func (d *Deployer) settle(ctx context.Context, s Step, t Target) error {
	if s.Now.Deploy == nil {
		return nil
	}
	d.emit(s.Machine, Reach, Running, "settles the deploy "+s.Now.Deploy.ID+", which was cut off")
	if err := t.Settle(ctx); err != nil {
		return err
	}
	// It goes back, and nobody confirms it.
	f := &follower{d: d, s: s, t: t, id: s.Now.Deploy.ID, judged: true}
	if r := f.follow(ctx, Result{}); errors.Is(r.Err, ErrUnknown) {
		return r.Err
	}
	return nil
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

// copy brings the system into the machine's store.
func (d *Deployer) copy(ctx context.Context, s Step, t Target) error {
	return d.during(ctx, Copy, func() error {
		d.emit(s.Machine, Copy, Started, "")
		opening, cancel := context.WithTimeout(ctx, d.o.Timeouts.Reach)
		defer cancel()
		store, err := t.Store(opening)
		if err != nil {
			return err
		}
		if store == "" {
			d.emit(s.Machine, Copy, Done, "built in the store of this machine")
			return nil
		}
		err = d.o.Nix.Copy(ctx, nix.CopyRequest{
			To: store, Paths: []string{s.Wanted.OutPath}, NoCheckSigs: true,
			OnEvent: d.nixEvents(s.Machine, Copy),
		})
		if err == nil {
			d.emit(s.Machine, Copy, Done, "")
			return nil
		}
		reason := t.StoreErr()
		if isDiskFull(err) || isDiskFull(reason) {
			return d.diskFull(ctx, s, t, err)
		}
		if reason != nil {
			return fmt.Errorf("copy %s to %s: %w (%w)", s.Wanted.OutPath, t, reason, err)
		}
		return fmt.Errorf("copy %s to %s: %w", s.Wanted.OutPath, t, err)
	})
}

// diskFull looks at the machine again, to say how little room there is.
func (d *Deployer) diskFull(ctx context.Context, s Step, t Target, err error) error {
	full := &DiskFullError{Target: t.String(), Disk: s.Now.Store, Free: addressOf(t).makeRoom(), Err: err}
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeouts.Reach)
	defer cancel()
	if facts, err := t.Inspect(ctx, s.KeyFile, ""); err == nil {
		full.Disk = facts.Store
	}
	return full
}

// changeTimeout bounds a single small change on a machine. It is long, because
// the machine's disk may be busy with what was copied before.
const changeTimeout = 5 * time.Minute

// putKey puts the machine's age key in place, if that is planned.
func (d *Deployer) putKey(ctx context.Context, s Step, t Target) error {
	return d.during(ctx, Secrets, func() error {
		if s.Key != KeyInstall && s.Key != KeyReplace {
			return nil
		}
		d.emit(s.Machine, Secrets, Started, "")
		key, err := d.machineKey(ctx, s.Machine)
		if err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		if err := t.WriteFile(bounded, s.KeyFile, key); err != nil {
			return err
		}
		d.emit(s.Machine, Secrets, Done, s.KeyFile)
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
