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
		if id, unseen := h.unseen(w.m.Name); unseen {
			if r, finished := w.rejoin(ctx, id, h.Begun[w.m.Name].Target); finished {
				return r
			}
		}
		return w.update(ctx)
	})
}

// unseen names the activation that the run has begun on a machine and whose end it
// has not seen.
func (h *History) unseen(machine string) (id string, unseen bool) {
	id = h.Begun[machine].ID
	r, ended := h.Results[machine]
	return id, id != "" && (!ended || r.State == Unknown)
}

// rejoin takes part in an activation that was begun before. It has not finished
// the machine's way if there is none, or one that ended because its driver was
// gone.
func (w *way) rejoin(ctx context.Context, id, target string) (Result, bool) {
	if w.m.Address == "" { // which only its evaluation tells
		w.m.Address = target
	}
	r, err := w.join(ctx, id)
	switch {
	case errors.Is(err, errNoActivation):
		return Result{}, false
	case err != nil:
		return Result{Machine: w.m.Name, Target: target}.fail(ctx, Reach, err), true
	}
	return r, !r.abandoned()
}

// join follows an activation to its end and confirms it if that is due. With no
// name it is the one under way, or the last.
func (w *way) join(ctx context.Context, id string) (Result, error) {
	d := w.d
	t, err := d.connect(ctx, w.m)
	var a Activation
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, d.o.Timeouts.Reach)
		defer cancel()
		a, err = t.Adopt(bounded, id)
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
	return f.follow(context.WithoutCancel(ctx), newResult(s)), nil
}

// Attach joins what is under way on machines, whoever began it, and takes it to
// its end; of a machine where nothing is under way it tells how the last
// activation ended. With the history of a run only its activations count.
func (d *Deployer) Attach(ctx context.Context, machines []Machine, h *History) *Summary {
	if h == nil {
		return d.run(machines, nil, func(w *way) Result { return w.attach(ctx, "") })
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
	return d.run(todo, results, func(w *way) Result {
		id, _ := h.unseen(w.m.Name)
		return w.attach(ctx, id)
	})
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

func (w *way) attach(ctx context.Context, id string) Result {
	r, err := w.join(ctx, id)
	if errors.Is(err, errNoActivation) && id != "" {
		err = fmt.Errorf("%w: it has forgotten the activation %s of the run", ErrUnknown, id)
	}
	if err != nil {
		return Result{Machine: w.m.Name, Target: w.m.Address}.fail(ctx, Reach, err)
	}
	return r
}
