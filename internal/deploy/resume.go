package deploy

import (
	"context"
	"errors"
	"fmt"
)

// Resume goes on with a run whose driver is gone. Machines that the run brought
// to their system are left alone, and so are those that went back for a reason
// of their own; an activation whose end nobody has seen is joined; all others begin
// anew.
func (d *Deployer) Resume(ctx context.Context, h *History, machines []Machine) *Summary {
	var todo []Machine
	var results []Result
	for _, m := range machines {
		if r, ended := h.Results[m.Name]; ended && r.finished() {
			results = append(results, r)
		} else {
			todo = append(todo, m)
		}
	}
	return d.run(todo, results, func(w *way) Result {
		if begun, unseen := h.unseen(w.m.Name); unseen {
			if r, finished := w.rejoin(ctx, begun); finished {
				return r
			}
		}
		return w.update(ctx)
	})
}

// unseen gives the activation that the run has begun on a machine and whose end it
// has not seen.
func (h *History) unseen(machine string) (Begun, bool) {
	begun, known := h.Begun[machine]
	r, ended := h.Results[machine]
	return begun, known && (!ended || r.State == Unknown)
}

// rejoin takes part in an activation that was begun before. It has not finished
// the machine's way if there is none, or one that ended because its driver was
// gone.
func (w *way) rejoin(ctx context.Context, begun Begun) (Result, bool) {
	r, err := w.join(ctx, begun)
	switch {
	case errors.Is(err, errNoActivation):
		return Result{}, false
	case err != nil:
		return Result{Machine: w.m.Name, Target: begun.Target}.fail(ctx, Reach, err), true
	}
	return r, !r.abandoned()
}

// join follows an activation to its end and confirms it if that is due. With no
// name it is the one under way, or the last.
func (w *way) join(ctx context.Context, begun Begun) (Result, error) {
	if w.m.Address == "" && begun.Target != "" { // which only its evaluation tells
		w.m.Address, w.m.Err = begun.Target, nil
	}
	d, id := w.d, begun.ID
	t, err := d.connect(ctx, w.m)
	var a Activation
	look := func() { a, err = d.adopt(ctx, w.m.Name, t, id) }
	if err == nil {
		look()
	}
	if id != "" && d.o.Reboot && (isLost(err) || absent(err)) {
		// It may be restarting, and wait for its confirmation when it is up.
		f := &follower{d: d, s: Step{Machine: w.m.Name, Goal: Reboot}, t: t, window: d.o.Timeouts.Confirm}
		bounded, cancel := context.WithTimeout(ctx, f.patience())
		defer cancel()
		for isLost(err) || absent(err) {
			if f.again(bounded, err) != nil {
				break
			}
			look()
		}
	}
	switch {
	case err != nil && id != "" && !errors.Is(err, errNoActivation):
		return Result{}, fmt.Errorf("%w: whether its activation has ended cannot be seen: %w", ErrUnknown, err)
	case err != nil:
		return Result{}, err
	}
	s := Step{Machine: w.m.Name, Class: a.Class, Target: t.String(), Goal: a.Goal}
	s.Wanted.OutPath = a.Out
	d.emit(w.m.Name, Activate, Started, "joins the activation of "+a.Out)
	f := &follower{d: d, s: s, t: t, id: a.ID, token: a.Token, window: a.Window, limit: a.Limit, health: a.Health}
	if begun.Rejected != "" {
		f.verdict = errors.New(begun.Rejected)
	}
	return f.follow(context.WithoutCancel(ctx), newResult(s)), nil
}

// adopt gives an activation that was begun before, and hides the secrets that it
// may print.
func (d *Deployer) adopt(ctx context.Context, machine string, t Target, id string) (Activation, error) {
	looking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	a, err := t.Adopt(looking, id)
	if err != nil {
		return Activation{}, err
	}
	for _, file := range a.Secrets {
		content, err := t.ReadFile(looking, file, maxKeyFile)
		if isLost(err) {
			return Activation{}, err
		}
		d.secrets.hide(machine, content) // nothing where there is no such file
	}
	return a, nil
}

// Attach joins what is under way on machines, whoever began it, and takes it to
// its end; of a machine where nothing is under way it tells how the last
// activation ended. With the history of a run only its activations count.
func (d *Deployer) Attach(ctx context.Context, machines []Machine, h *History) *Summary {
	if h == nil {
		return d.run(machines, nil, func(w *way) Result { return w.attach(ctx, Begun{}) })
	}
	var todo []Machine
	var results []Result
	for _, m := range machines {
		if _, unseen := h.unseen(m.Name); unseen {
			todo = append(todo, m)
		} else {
			results = append(results, h.stands(m))
		}
	}
	return d.run(todo, results, func(w *way) Result { return w.attach(ctx, h.Begun[w.m.Name]) })
}

// stands is how a machine stands with which the run has begun nothing that could
// be joined.
func (h *History) stands(m Machine) Result {
	if r, ended := h.Results[m.Name]; ended {
		return r
	}
	r := Result{Machine: m.Name, Target: m.Address, State: NotStarted, Message: "the run has not come to its activation"}
	if !h.UnderWay && !h.Settings.Rollback {
		r.Next = "fleet machines update --resume " + h.ID
	}
	return r
}

func (w *way) attach(ctx context.Context, begun Begun) Result {
	r, err := w.join(ctx, begun)
	if errors.Is(err, errNoActivation) && begun.ID != "" {
		err = fmt.Errorf("%w: it has forgotten the activation %s of the run", ErrUnknown, begun.ID)
	}
	if err != nil {
		return Result{Machine: w.m.Name, Target: w.m.Address}.fail(ctx, Reach, err)
	}
	return r
}
