package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// RollbackPlan says which generations machines would go back to, sorted by wave
// and name.
type RollbackPlan struct {
	Steps []RollbackStep `json:"machines"`
}

// RollbackStep is what a rollback would do to one machine.
type RollbackStep struct {
	Machine string      `json:"machine"`
	Class   flake.Class `json:"class"`
	Target  string      `json:"target"`
	Wave    int         `json:"wave"`
	// From is the generation that the profile leads to, Running the system that
	// runs, which may be another one; To is where it would go.
	From    Generation `json:"from"`
	Running string     `json:"running"`
	To      Generation `json:"to"`
	// Change is false for a machine that is there already.
	Change bool `json:"change"`
	// Skipped says that it was to be skipped if nobody answers there, as is so.
	Skipped bool `json:"skipped,omitempty"`
	// Err is why nothing can be done for this machine, Error the same as text.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`

	now Facts
}

// Text says in one line what a rollback would do to the machine.
func (s RollbackStep) Text() string {
	switch {
	case s.Err != nil:
		return failedText(s.Error, s.Skipped)
	case !s.Change:
		return fmt.Sprintf("stay at generation %d", s.To.Number)
	case s.Running != s.From.System:
		return fmt.Sprintf("go from %s to generation %d", s.Running, s.To.Number)
	}
	return fmt.Sprintf("go from generation %d back to generation %d", s.From.Number, s.To.Number)
}

// PlanRollback looks at every machine and says which generation it would go to:
// the one with a number, or with 0 the one before its current one. Nothing is
// changed anywhere.
func (d *Deployer) PlanRollback(ctx context.Context, machines []Machine, number int) *RollbackPlan {
	plan := &RollbackPlan{Steps: make([]RollbackStep, len(machines))}
	each(machines, func(i int, m Machine) {
		s := &plan.Steps[i]
		*s = RollbackStep{Machine: m.Name, Class: m.Class, Target: m.Address, Wave: m.Wave}
		d.emit(m.Name, Reach, Started, "")
		s.Err = d.during(ctx, Reach, func() error { return d.planRollback(ctx, m, number, s) })
		if s.Err != nil {
			s.Error, s.Skipped = s.Err.Error(), d.skips(s.Err)
			return
		}
		d.emit(m.Name, Reach, Done, s.Text())
	})
	slices.SortFunc(plan.Steps, func(a, b RollbackStep) int {
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), strings.Compare(a.Machine, b.Machine))
	})
	return plan
}

func (d *Deployer) planRollback(ctx context.Context, m Machine, number int, s *RollbackStep) error {
	if m.Err != nil {
		return m.Err
	}
	var err error
	if s.now, s.Target, err = d.look(ctx, m); err != nil {
		return err
	}
	if under := s.now.Deploy; under != nil && under.Live {
		return under.busy(s.Target)
	}
	t, err := d.target(m.Name, m.Class, m.Address)
	if err != nil {
		return err
	}
	looking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	all, err := t.Generations(looking)
	if err != nil {
		return err
	}
	s.Running = all.System
	if s.From, s.To, err = all.rollback(number); err != nil {
		return &fixableError{err: err, next: generationsCommand(m.Name)}
	}
	s.Change = s.To.Number != s.From.Number || s.Running != s.To.System
	return nil
}

// rollback chooses the generation to go to. Without a number that is the one
// before the current one that has another system; where the machine runs
// something else than its current generation, nobody can tell what going back
// means.
func (gs Generations) rollback(number int) (from, to Generation, err error) {
	from, ok := gs.Current()
	if !ok && number == 0 {
		return from, to, errors.New("its system profile leads to none of its generations, so there is none before it; name one with --to, see `fleet machines generations`")
	}
	if number != 0 {
		to, ok = gs.Find(number)
		switch {
		case !ok:
			return from, to, fmt.Errorf("it has no generation %d, but %s", number, gs.numbers())
		case to.Gone:
			return from, to, fmt.Errorf("the system of generation %d, %s, is no longer in its store", number, to.System)
		}
		return from, to, nil
	}
	if gs.System != from.System {
		return from, to, fmt.Errorf("it runs %s, which is not its current generation %d; say with --to which one it is to go to", orNothing(gs.System), from.Number)
	}
	for _, g := range gs.List {
		if g.Number < from.Number && g.System != from.System && !g.Gone {
			to = g // they are sorted
		}
	}
	if to.Number == 0 {
		return from, to, fmt.Errorf("there is no generation before generation %d to go back to", from.Number)
	}
	return from, to, nil
}

// numbers lists the generations.
func (gs Generations) numbers() string {
	var numbers []string
	for _, g := range gs.List {
		numbers = append(numbers, fmt.Sprint(g.Number))
	}
	if len(numbers) == 0 {
		return "none at all"
	}
	return strings.Join(numbers, ", ")
}

// Rollback does what a plan says, in waves, and tells how each machine ended. A
// generation is activated and confirmed as a new system is in an update: a machine
// that cannot be reached on it comes back by itself.
func (d *Deployer) Rollback(ctx context.Context, plan *RollbackPlan) *Summary {
	var machines []Machine
	for _, s := range plan.Steps {
		machines = append(machines, Machine{Name: s.Machine, Class: s.Class, Address: s.Target, Wave: s.Wave})
	}
	turns := newSchedule(machines, d.o.Batches, d.o.StopAfter)
	results := make([]Result, len(machines))
	each(machines, func(i int, m Machine) {
		w := &way{d: d, m: m, turns: turns}
		r := d.conclude(w.rollback(ctx, plan.Steps[i]))
		w.planned(false)
		turns.ended(m.Name, r.bad())
		results[i] = r
	})
	return d.newSummary(results)
}

func (w *way) rollback(ctx context.Context, s RollbackStep) Result {
	d := w.d
	w.s = Step{Machine: s.Machine, Class: s.Class, Target: s.Target, Goal: Switch, Generation: s.To.Number, Now: s.now}
	w.s.Wanted.OutPath = s.To.System
	r := newResult(w.s)
	switch {
	case s.Err != nil:
		return r.fail(ctx, Reach, s.Err)
	case !s.Change:
		r.State, r.Message = Unchanged, fmt.Sprintf("it is at generation %d already", s.To.Number)
		return r
	}
	w.planned(true)
	var err error
	if w.t, err = d.target(s.Machine, s.Class, s.Target); err != nil {
		return r.fail(ctx, Reach, err)
	}
	if err := w.turns.wait(ctx, s.Machine); err != nil {
		return r.fail(ctx, Reach, err)
	}
	if err := w.take(ctx); err != nil {
		return r.fail(ctx, Reach, err)
	}
	defer func() { w.release() }()
	if err := w.unmoved(ctx, s); err != nil {
		return r.fail(ctx, Reach, err)
	}
	d.emit(s.Machine, Reach, Running, s.Text())
	err = d.during(ctx, Activate, func() error {
		r = d.activate(ctx, w.s, w.t, r)
		return nil
	})
	switch {
	case err != nil:
		r = r.fail(ctx, Activate, err)
	case r.State == Done:
		r.Message = strings.TrimSuffix(fmt.Sprintf("it is at generation %d; %s", s.To.Number, r.Message), "; ")
	}
	if r.Next == updateCommand(s.Machine) { // which would not try this again
		r.Next = generationsCommand(s.Machine)
	}
	return r
}

func generationsCommand(machine string) string { return "fleet machines generations " + machine }

// unmoved makes sure that a machine which is ours now is where the plan found it.
func (w *way) unmoved(ctx context.Context, s RollbackStep) error {
	looking, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	now, err := w.t.Inspect(looking, "", "")
	switch {
	case err != nil:
		return err
	case now.System != s.now.System || now.Generation != s.now.Generation:
		return fmt.Errorf("it was at generation %d and is at generation %d now: somebody has changed it meanwhile", s.now.Generation, now.Generation)
	}
	return nil
}
