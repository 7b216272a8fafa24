package flake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/crs58/fleet/internal/nix"
)

// Evaluated is what evaluating several machines gave: the details of those that
// evaluate and the error of each that does not.
type Evaluated struct {
	Details map[string]*Details
	Failed  map[string]*MachineError
}

// Names are the machines that evaluate, sorted.
func (e *Evaluated) Names() []string { return slices.Sorted(maps.Keys(e.Details)) }

// Errors are the failures, sorted by machine.
func (e *Evaluated) Errors() []*MachineError {
	var errs []*MachineError
	for _, name := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[name])
	}
	return errs
}

// minBatch is how many machines are worth a Nix process of their own: below
// that the flake itself costs more than the machines.
const minBatch = 3

// Details evaluates machines. With toplevel the whole system is evaluated, so
// that it can be built; without, only what vars need. The error is one that
// concerns all machines; a machine's own error is in Evaluated.Failed.
func (l *Loader) Details(ctx context.Context, fleet *Fleet, names []string, toplevel bool) (*Evaluated, error) {
	result := &Evaluated{Details: map[string]*Details{}, Failed: map[string]*MachineError{}}
	var todo []string
	for _, name := range names {
		if _, known := fleet.Machines[name]; !known {
			return nil, fmt.Errorf("there is no machine %s%s", name, DidYouMean(name, slices.Sorted(maps.Keys(fleet.Machines))))
		}
		if d := fleet.known[name]; d != nil && (d.Toplevel != nil || !toplevel) {
			result.Details[name] = d
			continue
		}
		var d Details
		if l.cached(l.detailsKey(fleet, name, toplevel), &d) && d.inStore() {
			result.Details[name] = &d
			continue
		}
		todo = append(todo, name)
	}
	batches := split(todo, min(max(1, l.Workers), max(1, len(todo)/minBatch)))
	var mu sync.Mutex
	var failed [][]string
	l.each(len(batches), func(i int) {
		details, err := l.evaluate(ctx, fleet, batches[i], toplevel)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, batches[i])
			if len(batches[i]) == 1 {
				result.Failed[batches[i][0]] = &MachineError{batches[i][0], err}
			}
			return
		}
		maps.Copy(result.Details, details)
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// One machine fails its whole batch: the others get another chance, each alone.
	var alone []string
	for _, batch := range failed {
		if len(batch) > 1 {
			alone = append(alone, batch...)
		}
	}
	l.each(len(alone), func(i int) {
		details, err := l.evaluate(ctx, fleet, alone[i:i+1], toplevel)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			result.Failed[alone[i]] = &MachineError{alone[i], err}
			return
		}
		maps.Copy(result.Details, details)
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, name := range todo {
		if d := result.Details[name]; d != nil {
			l.keep(l.detailsKey(fleet, name, toplevel), d)
		}
	}
	return result, nil
}

// loadAll reads the inventory and the details of all machines of a native flake.
// Each worker takes its share of the machines, whose names it alone knows.
func (l *Loader) loadAll(ctx context.Context, fleet *Fleet, toplevel bool) error {
	if fleet.Dir != "" && !exists(filepath.Join(fleet.Dir, "flake.lock")) {
		return errors.New("the inputs are not locked: several processes would write the lock file at once")
	}
	workers := max(1, l.Workers)
	shares := make([]struct {
		Inventory json.RawMessage     `json:"inventory"`
		Details   map[string]*Details `json:"details"`
	}, workers)
	errs := make([]error, workers)
	l.each(workers, func(i int) {
		errs[i] = l.Nix.Eval(ctx, nix.EvalRequest{
			Installable: fleet.Ref + "#fleet",
			Apply: query("share", map[string]any{
				"index": i, "of": workers, "adminSystem": l.System, "toplevel": toplevel,
			}),
			OnEvent: l.OnEvent,
		}, &shares[i])
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := json.Unmarshal(shares[0].Inventory, &fleet.Inventory); err != nil {
		return err
	}
	fleet.Flavour, fleet.known = Native, map[string]*Details{}
	for _, share := range shares {
		maps.Copy(fleet.known, share.Details)
	}
	for name, d := range fleet.known {
		l.keep(l.detailsKey(fleet, name, toplevel), d)
	}
	return nil
}

func (l *Loader) detailsKey(fleet *Fleet, name string, toplevel bool) string {
	return fleet.key("details", name, l.System, strconv.FormatBool(toplevel))
}

// inStore is whether the derivations still exist: a garbage collection may have
// taken them since the result was kept.
func (d *Details) inStore() bool {
	if d.Toplevel != nil && !exists(d.Toplevel.DrvPath) {
		return false
	}
	for _, g := range d.Generators {
		if g.Script != nil && !exists(g.Script.DrvPath) {
			return false
		}
	}
	return true
}

// each runs n jobs, at most Workers at once.
func (l *Loader) each(n int, job func(i int)) {
	slots := make(chan struct{}, max(1, l.Workers))
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			job(i)
		})
	}
	wg.Wait()
}

// split cuts names into n parts of nearly the same size, in order.
func split(names []string, n int) [][]string {
	var parts [][]string
	for i := range n {
		if part := names[i*len(names)/n : (i+1)*len(names)/n]; len(part) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

func (l *Loader) evaluate(ctx context.Context, fleet *Fleet, names []string, toplevel bool) (map[string]*Details, error) {
	requests := []nix.EvalRequest{}
	switch fleet.Flavour {
	case Native:
		requests = append(requests, nix.EvalRequest{
			Installable: fleet.Ref + "#fleet.machines",
			Apply:       query("machines", map[string]any{"names": names, "adminSystem": l.System, "toplevel": toplevel}),
		})
	case Plain:
		for class, output := range map[Class]string{NixOS: "nixosConfigurations", Darwin: "darwinConfigurations"} {
			var of []string
			for _, name := range names {
				if fleet.Machines[name].Class == class {
					of = append(of, name)
				}
			}
			if len(of) > 0 {
				requests = append(requests, nix.EvalRequest{
					Installable: fleet.Ref + "#" + output,
					Apply:       query("plain", map[string]any{"names": of, "toplevel": toplevel}),
				})
			}
		}
	}
	all := map[string]*Details{}
	for _, req := range requests {
		req.OnEvent = l.OnEvent
		var raw json.RawMessage
		if err := l.Nix.Eval(ctx, req, &raw); err != nil {
			return nil, err
		}
		var details map[string]*Details
		if err := json.Unmarshal(raw, &details); err != nil {
			return nil, fmt.Errorf("the flake's core and this program do not fit together: %w", err)
		}
		maps.Copy(all, details)
	}
	for _, name := range names {
		if all[name] == nil {
			return nil, fmt.Errorf("the evaluation of %s did not return %s", fleet.Ref, name)
		}
	}
	return all, nil
}
