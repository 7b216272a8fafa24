package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Update brings machines to their systems and tells how each ended. A machine
// that answers at once does not wait for one that does not, but for its turn to
// be changed. When ctx ends, nothing new is begun: builds and copies stop, and
// activations under way are waited for.
func (d *Deployer) Update(ctx context.Context, machines []Machine) *Summary {
	return d.run(machines, nil, func(w *way) Result { return w.update(ctx) })
}

// run has every machine go its way, and tells how each ended; ended are the
// results of those that were at their end before.
func (d *Deployer) run(machines []Machine, ended []Result, travel func(*way) Result) *Summary {
	machines = slices.Clone(machines)
	slices.SortStableFunc(machines, func(a, b Machine) int { return cmp.Compare(a.Wave, b.Wave) })
	turns := newSchedule(machines, d.o.Batches, d.o.StopAfter)
	for _, r := range ended {
		if r.bad() {
			turns.failures++
		}
	}
	results := make([]Result, len(machines))
	each(machines, func(i int, m Machine) {
		w := &way{d: d, m: m, turns: turns}
		r := d.conclude(travel(w))
		w.planned(false) // which it was long ago, unless it failed before
		turns.ended(m.Name, r.bad())
		results[i] = r
	})
	return d.newSummary(append(ended, results...))
}

// conclude closes a machine's events.
func (d *Deployer) conclude(r Result) Result {
	if r.State == Failed && r.Phase == Reach && d.skips(r.Err) {
		r.State, r.Next = Skipped, ""
	}
	d.emit(r.Machine, End, r.State, r.Message)
	if r.bad() || r.State == Interrupted {
		r.Log = d.o.Record.logOf(r.Machine)
	}
	r.Next = d.there(r.Machine, r.Next)
	_ = d.o.Record.append(entry{Result: &r}, true) // Record.Close tells
	return r
}

// there has a command about a machine reach it where this run does.
func (d *Deployer) there(machine, command string) string {
	if d.o.TargetHost != "" && command != buildCommand(machine) && strings.HasPrefix(command, "fleet machines ") && strings.HasSuffix(command, " "+machine) {
		return command + " --target-host " + shellLine([]string{d.o.TargetHost}) // which the machine alone does not tell
	}
	return command
}

func newResult(s Step) Result {
	return Result{Machine: s.Machine, Target: s.Target, Out: s.Wanted.OutPath, State: Done}
}

// way is the way of one machine through a run.
type way struct {
	d     *Deployer
	m     Machine
	turns *schedule
	told  bool // the schedule knows whether the machine is changed

	s     Step
	t     Target
	lease Lease // once the machine is claimed
}

func (w *way) planned(changes bool) {
	if !w.told {
		w.told = true
		w.turns.planned(w.m, changes)
	}
}

// update takes the machine to the system that the flake declares.
func (w *way) update(ctx context.Context) Result {
	w.plan(ctx)
	return w.walk(ctx)
}

// walk takes the machine through the phases of its step.
func (w *way) walk(ctx context.Context) Result {
	d, r := w.d, newResult(w.s)
	switch {
	case w.s.Err != nil:
		return r.fail(ctx, w.s.Phase, w.s.Err)
	case ctx.Err() != nil:
		return r.fail(ctx, Reach, ctx.Err())
	case !w.s.Activate:
		r.State, r.Message = Unchanged, strings.Join(w.s.Notes, "; ")
		return r
	}
	w.planned(true)
	if d.o.Goal == JustBuild {
		return w.justBuild(ctx, r)
	}
	var err error
	if w.t, err = d.target(w.s.Machine, w.s.Class, w.s.Target); err != nil {
		return r.fail(ctx, Reach, err)
	}
	if w.s.Goal.Changes() {
		if err := w.take(ctx); err != nil {
			return r.fail(ctx, Reach, err)
		}
		defer func() { w.lease.Release() }()
	}
	if phase, err := w.prepare(ctx); err != nil {
		return r.fail(ctx, phase, err)
	}
	switch w.s.Goal {
	case Push:
		r.Message = "copied"
		return r
	case DryActivate:
		return w.dryActivate(ctx, r)
	}
	if err := w.turns.wait(ctx, w.m.Name); err != nil {
		return r.fail(ctx, Activate, err)
	}
	phase := Activate
	err = d.during(ctx, Activate, func() error { // from here on nothing waits but for the machine
		if err := w.retake(ctx); err != nil {
			return err
		}
		if err := w.consent(ctx); err != nil {
			phase = Reach
			return err
		}
		if err := w.putSecrets(ctx); err != nil {
			phase = Secrets
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r = d.activate(ctx, w.s, w.t, r)
		return nil
	})
	if err != nil {
		return r.fail(ctx, phase, err)
	}
	return r
}

// prepare brings the system to the machine, which changes nothing that it runs. A
// generation is there already.
func (w *way) prepare(ctx context.Context) (Phase, error) {
	if w.s.Generation > 0 {
		return Reach, w.recall(ctx)
	}
	if err := w.build(ctx); err != nil {
		return Build, err
	}
	if err := w.copy(ctx); err != nil {
		return Copy, err
	}
	return Copy, w.chooseReboot(ctx)
}

// evaluate finds out what the flake declares, where that is not known yet.
func (w *way) evaluate(ctx context.Context) error {
	if w.m.Err != nil || w.m.Details != nil || w.m.Evaluate == nil {
		return nil
	}
	w.d.emit(w.m.Name, Evaluate, Started, "")
	if err := w.m.Evaluate(ctx, &w.m); err != nil {
		return err
	}
	w.d.emit(w.m.Name, Evaluate, Done, "")
	return w.d.o.Record.append(entry{Machine: &w.m}, false)
}

// take settles what an earlier deploy has left on the machine and claims it.
func (w *way) take(ctx context.Context) error {
	if err := w.settle(ctx); err != nil {
		return err
	}
	return w.claim(ctx)
}

// claim takes the machine for this run, anew if it has it already.
func (w *way) claim(ctx context.Context) error {
	if err := askForRoot(ctx, w.t); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	lease, err := w.t.Claim(bounded, w.d.o.Run, w.d.o.Owner, w.s.Wanted.OutPath)
	if err != nil {
		return err
	}
	if w.lease != nil {
		w.lease.Release()
	}
	w.lease = lease
	return nil
}

// reconnect makes a connection anew and claims the machine over it, if it was.
func (w *way) reconnect(ctx context.Context) error {
	if err := w.t.Reconnect(ctx); err != nil || w.lease == nil {
		return err
	}
	return w.claim(ctx)
}

// retake makes sure after a wait that the machine is ours still, and where it was
// found: the connection may have been lost meanwhile, and the claim with it.
func (w *way) retake(ctx context.Context) error {
	now, err := w.renew(ctx)
	if err != nil {
		if err = w.reconnect(ctx); err == nil {
			now, err = w.renew(ctx)
		}
	}
	if err != nil {
		return err
	}
	return moved(w.s.Now.place(), now)
}

func (w *way) renew(ctx context.Context) (Place, error) {
	ctx, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	return w.lease.Renew(ctx)
}

// look inspects the machine again.
func (w *way) look(ctx context.Context) (Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	return w.t.Inspect(ctx, w.s.KeyFile, "")
}

// moved says that a machine is not where it was found; nil where it is.
func moved(found, now Place) error {
	const why = "somebody has changed it meanwhile"
	switch {
	case now.Generation != found.Generation:
		return fmt.Errorf("it was at generation %d and is at generation %d now: %s", found.Generation, now.Generation, why)
	case now.System != found.System:
		return fmt.Errorf("it ran %s and runs %s now: %s", orNothing(found.System), orNothing(now.System), why)
	}
	return nil
}

// settle brings a deploy to its end that was cut off on the machine: by a
// restart, or because its supervisor was killed where nobody starts it again.
func (w *way) settle(ctx context.Context) error {
	under := w.s.Now.Deploy
	if under == nil {
		return nil
	}
	d := w.d
	d.emit(w.m.Name, Reach, Running, "settles the deploy "+under.ID+", which was cut off")
	if _, err := d.adopt(ctx, w.m.Name, w.t, under.ID); isLost(err) {
		return err
	}
	if err := w.t.Settle(ctx); err != nil {
		return err
	}
	// It goes back, and nobody confirms it.
	f := &follower{d: d, s: w.s, t: w.t, id: under.ID, judged: true, window: d.o.Timeouts.Confirm, limit: d.o.Timeouts.Activate}
	if r := f.follow(context.WithoutCancel(ctx), Result{}); errors.Is(r.Err, ErrUnknown) {
		return r.Err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	now, err := w.look(ctx)
	if err != nil {
		return err
	}
	if w.s.Generation > 0 { // chosen by where the machine was
		now.Generation = w.s.Now.Generation
	}
	w.s.Now = now
	return nil
}

// changeTimeout bounds a single small change on a machine. It is long, because
// the machine's disk may be busy with what was copied before.
const changeTimeout = 5 * time.Minute

// putSecrets puts those secrets in place that are not as they should be. Only the
// activation that follows makes them count: the machine is told before, so that a
// run that ends between the two does not leave one that looks unchanged.
func (w *way) putSecrets(ctx context.Context) error {
	files := w.s.changedFiles()
	if len(files) == 0 {
		return nil
	}
	return w.d.during(ctx, Secrets, func() error {
		w.d.emit(w.m.Name, Secrets, Started, "")
		if err := w.mark(ctx); err != nil {
			return err
		}
		var names []string
		for _, f := range files {
			if err := f.write(ctx, w.t); err != nil {
				return err
			}
			names = append(names, f.Path)
		}
		w.d.emit(w.m.Name, Secrets, Done, strings.Join(names, ", "))
		return nil
	})
}

// mark notes on the machine that the activation of its system begins.
func (w *way) mark(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return w.t.Mark(ctx, w.s.Wanted.OutPath)
}
