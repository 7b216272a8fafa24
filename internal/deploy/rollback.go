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
		return fmt.Sprintf("go from %s to generation %d", ShortPath(s.Running), s.To.Number)
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
	if len(all.List) == 0 && verdict(s.now, "") == NeverDeployed {
		return &fixableError{err: errors.New("it was never deployed, so there is no generation to go back to"), next: updateCommand(m.Name)}
	}
	if s.From, s.To, err = all.rollback(number); err != nil {
		return &fixableError{err: err, next: generationsCommand(m.Name)}
	}
	s.Change = s.To.Number != s.From.Number || s.Running != s.To.System
	if s.Change {
		return s.now.claimed(s.Target, d.o.Run)
	}
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
// that cannot be reached on it, or on which units fail, comes back by itself. Which
// units may fail is what its last deploy said.
func (d *Deployer) Rollback(ctx context.Context, plan *RollbackPlan) *Summary {
	var machines []Machine
	steps := map[string]RollbackStep{}
	for _, s := range plan.Steps {
		machines = append(machines, Machine{Name: s.Machine, Class: s.Class, Address: s.Target, Wave: s.Wave})
		steps[s.Machine] = s
	}
	return d.run(machines, nil, func(w *way) Result { return w.rollback(ctx, steps[w.m.Name]) })
}

func (w *way) rollback(ctx context.Context, s RollbackStep) Result {
	w.s = Step{
		Machine: s.Machine, Class: s.Class, Target: s.Target, Goal: Switch, Activate: s.Change, Generation: s.To.Number, Now: s.now,
		Err: s.Err, Phase: Reach,
	}
	w.s.Wanted.OutPath = s.To.System
	if !s.Change {
		w.s.Notes = []string{fmt.Sprintf("it is at generation %d already", s.To.Number)}
	}
	r := w.walk(ctx)
	if r.State == Done {
		r.Message = strings.TrimSuffix(fmt.Sprintf("it is at generation %d; %s", s.To.Number, r.Message), "; ")
	}
	if s.Err == nil && r.Next == updateCommand(s.Machine) { // which would not try this again
		r.Next = generationsCommand(s.Machine)
	}
	return r
}

// recall finds out what the machine's last deploy said of the units that may fail
// and of its secrets. Its health checks are those of another system.
func (w *way) recall(ctx context.Context) error {
	last, err := w.d.adopt(ctx, w.m.Name, w.t, "")
	switch {
	case errors.Is(err, errNoActivation):
		return nil
	case err != nil:
		return err
	}
	if h := last.Health; h != nil {
		w.s.health = &flake.Health{FailedUnits: h.FailedUnits, IgnoredUnits: h.IgnoredUnits}
	}
	for _, file := range last.Secrets {
		w.s.Secrets = append(w.s.Secrets, UploadedFile{Path: file, Action: KeyUnchanged})
	}
	return nil
}

func generationsCommand(machine string) string { return "fleet machines generations " + machine }
