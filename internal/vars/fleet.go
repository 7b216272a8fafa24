package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// Fleet is what this package works on: the values of some machines of a fleet.
type Fleet struct {
	// Root is the folder of the flake, that of the layout.
	Root   string
	Layout secrets.Layout
	// Identities are the keys of whoever runs fleet; none is an empty value, not
	// nil.
	Identities *secrets.Identities
	Inventory  *flake.Inventory
	// Machines are the selected machines. Values of others are not looked at.
	Machines map[string]*flake.Details
	// Env is the environment that programs are found by and that git runs in.
	Env []string
}

// with is the fleet as it will be once the files are written.
func (f *Fleet) with(files []repository.File) *Fleet {
	after := *f
	after.Layout = f.Layout.With(files)
	return &after
}

// Plan says what [Fleet.Run] would do. It changes nothing, so what an
// interrupted run has left is only noted; see [Fleet.Recover].
func (f *Fleet) Plan(ctx context.Context, req Request) (*Plan, error) {
	g, err := NewGraph(f.Machines)
	if err != nil {
		return nil, err
	}
	now, err := f.situation(ctx, g)
	if err != nil {
		return nil, err
	}
	p, err := NewPlan(g, now, req)
	if err != nil {
		return nil, err
	}
	if err := f.otherStore(p); err != nil {
		return nil, err
	}
	if len(p.Steps)+len(p.MachineKeys) > 0 {
		admins, err := f.Layout.AdminRecipients()
		if err != nil {
			return nil, err
		}
		// An age plugin's identity need not tell its public key.
		if own := f.Identities.Recipients(); (len(own) > 0 || f.Identities.Require() != nil) && !slices.ContainsFunc(own, func(k string) bool { return slices.Contains(admins, k) }) {
			p.Notes = append(p.Notes, "none of your keys is among those of the administrators, so you will not be able to read what is made; "+secrets.Admission(f.Layout))
		}
	}
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	if r.Interrupted() {
		p.Notes = append(p.Notes, "a run was interrupted here; the next `fleet vars generate` completes it first")
	}
	return p, nil
}

// otherStore refuses to make what clan's other store holds, when the flake has
// changed the store: the machines would get new secrets without anybody's having
// said so.
func (f *Fleet) otherStore(p *Plan) error {
	var found []string
	for _, step := range p.Steps {
		if slices.Contains(p.Request.Regenerate, step.Name) {
			continue
		}
		for _, file := range step.Missing {
			ref := p.graph.nodes[step.ID].ref(file)
			if !ref.Secret {
				continue
			}
			place, err := secrets.InOtherStore(f.Layout, ref)
			if err != nil {
				return err
			}
			if place != "" {
				found = append(found, place)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%d of the secrets that are missing lie in clan's other store (%s): to keep them, set vars.settings.secretStore back and run `fleet vars export FOLDER`, then set it anew and run `fleet vars import FOLDER`; to make others, name their generators with --regenerate", len(found), abbreviate(found))
}

// Recover completes what an interrupted run has left, and says what it did; ""
// if there was nothing. It comes before [Fleet.Plan] in whatever changes values.
func (f *Fleet) Recover(ctx context.Context, limits Limits) (string, error) {
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return "", err
	}
	if !r.Interrupted() {
		return "", nil
	}
	t, err := r.Begin(ctx, limits.withDefaults().Lock, nil)
	if err != nil {
		return "", err
	}
	defer t.Close()
	return t.Recovered, nil
}

// situation looks at what is there of the generators of a graph.
func (f *Fleet) situation(ctx context.Context, g *Graph) (Situation, error) {
	now := Situation{Generators: map[ID]GeneratorState{}, MachineKeys: map[string]KeyState{}, Whole: f.whole()}
	r, err := f.readers()
	if err != nil {
		return now, err
	}
	for machine := range f.Machines {
		state := KeyState{}
		if _, err := f.Layout.Machine(machine); err == nil {
			state.Present = true
		} else if !errors.Is(err, secrets.ErrNoMachineKey) {
			return now, err
		}
		if audit, err := r.auditKey(machine); err == nil {
			state.Lacks = audit.Lacks
		}
		now.MachineKeys[machine] = state
	}
	for _, id := range g.order {
		if err := ctx.Err(); err != nil {
			return now, err
		}
		n := g.nodes[id]
		state := GeneratorState{Present: map[string]bool{}, Lacks: map[string][]string{}, Damaged: map[string]string{}}
		if state.Hash, err = f.Layout.Hash(id.Machine, id.Name); err != nil {
			return now, err
		}
		var missing []string
		for _, name := range sorted(n.Def.Files) {
			ref := n.ref(name)
			if state.Present[name], err = f.Layout.Exists(ref); err != nil {
				return now, err
			}
			if !state.Present[name] {
				missing = append(missing, name)
				continue
			}
			if !ref.Secret {
				continue
			}
			audit, err := r.audit(n, name)
			if err != nil {
				state.Damaged[name] = err.Error()
			} else if len(audit.Lacks) > 0 {
				state.Lacks[name] = audit.Lacks
			}
		}
		if len(missing) > 0 {
			if state.Elsewhere, err = f.elsewhere(n, missing, r); err == nil {
				err = f.compare(ctx, n, state.Elsewhere)
			}
		} else if id.Shared() && len(state.Lacks) > 0 { // somebody joins
			state.Beside, err = f.elsewhere(n, sorted(n.Def.Files), r)
		}
		if err != nil {
			return now, err
		}
		now.Generators[id] = state
	}
	return now, nil
}

// whole tells whether all machines of the fleet are selected.
func (f *Fleet) whole() bool {
	for machine := range f.Inventory.Machines {
		if f.Machines[machine] == nil {
			return false
		}
	}
	return true
}

// ref names a file of the generator in the layout.
func (n *Node) ref(file string) secrets.Ref {
	return secrets.Ref{Machine: n.Machine, Generator: n.Name, File: file, Secret: n.Def.Files[file].Secret}
}

// machineError says of which machine an error tells.
func machineError(machine string, err error) error { return fmt.Errorf("machine %s: %w", machine, err) }
