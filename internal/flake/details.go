package flake

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
			Apply:       fmt.Sprintf("ms: builtins.listToAttrs (map (name: { inherit name; value = ms.${name}.describe { adminSystem = %s; toplevel = %t; }; }) %s)", quote(l.System), toplevel, list(names)),
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
					Apply:       fmt.Sprintf("ms: builtins.listToAttrs (map (name: { inherit name; value = let m = ms.${name}; t = m.config.system.build.toplevel; in { inherit name; generators = { }; secretUploadDirectory = \"\"; system = m.pkgs.stdenv.hostPlatform.system; } // (if %t then { toplevel = { inherit (t) drvPath; out = t.outPath; }; } else { }); }) %s)", toplevel, list(of)),
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

// list renders names as a Nix list of strings.
func list(names []string) string {
	var b strings.Builder
	b.WriteString("[ ")
	for _, n := range names {
		b.WriteString(quote(n) + " ")
	}
	return b.String() + "]"
}

// quote renders s as a Nix string literal.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
