package deploy

import (
	"context"
	"errors"
	"fmt"
)

// Resume goes on with a run whose driver is gone. Machines that the run brought
// to their system are left alone, and so are those that went back for a reason
// of their own; an activation under way is joined; all others begin anew.
func (d *Deployer) Resume(ctx context.Context, h *History, machines []Machine) *Summary {
	var todo []Machine
	var results []Result
	for _, m := range machines {
		if r, ended := h.Results[m.Name]; ended && (r.State == Done || r.State == Unchanged || r.State == RolledBack) {
			results = append(results, r)
		} else {
			todo = append(todo, m)
		}
	}
	s := d.update(ctx, todo, h.Begun)
	return d.newSummary(append(results, s.Results...))
}

// rejoin takes part in an activation that was begun before. It has not finished
// the machine's way if there is none, or one that ended because its driver was
// gone.
func (w *way) rejoin(ctx context.Context, begun Begun) (Result, bool) {
	if begun.ID == "" {
		return Result{}, false
	}
	if w.m.Address == "" { // which only its evaluation tells
		w.m.Address = begun.Target
	}
	r, err := w.join(ctx, begun.ID)
	switch {
	case errors.Is(err, errNoActivation):
		return Result{}, false
	case err != nil:
		return Result{Machine: w.m.Name, Target: begun.Target}.fail(ctx, Reach, err), true
	case r.abandoned():
		return Result{}, false
	}
	return r, true
}

// abandoned tells that a machine went back only because there was nobody to
// confirm its new system.
func (r Result) abandoned() bool {
	return r.cause == CauseExpired || r.cause == CauseKilled || r.cause == CauseRebooted
}

// join follows an activation to its end and confirms it if that is due.
func (w *way) join(ctx context.Context, id string) (Result, error) {
	d := w.d
	t, err := d.connect(ctx, w.m)
	if err != nil {
		return Result{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, d.o.Timeouts.Reach)
	defer cancel()
	a, err := t.Adopt(bounded, id)
	if err != nil {
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
	results := make([]Result, len(machines))
	each(machines, func(i int, m Machine) {
		w := &way{d: d, m: m}
		results[i] = d.conclude(w.attach(ctx, h))
	})
	return d.newSummary(results)
}

func (w *way) attach(ctx context.Context, h *History) Result {
	r := Result{Machine: w.m.Name, Target: w.m.Address}
	id := ""
	if h != nil {
		if ended, ok := h.Results[w.m.Name]; ok && ended.State != Unknown {
			return ended
		}
		if id = h.Begun[w.m.Name].ID; id == "" {
			r.State, r.Message = NotStarted, "the run has not come to its activation"
			r.Next = "fleet machines update --resume " + h.ID
			return r
		}
	}
	joined, err := w.join(ctx, id)
	if errors.Is(err, errNoActivation) && id != "" {
		err = fmt.Errorf("it has forgotten the activation %s of the run", id)
	}
	if err != nil {
		return r.fail(ctx, Reach, err)
	}
	return joined
}
