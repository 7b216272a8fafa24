package vars

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars/builtin"
)

// Given are values that a person brings: generator → file → exactly its bytes.
type Given map[ID]map[string][]byte

// GiftAction is what happens to one given value.
type GiftAction string

// The actions.
const (
	GiftAdds     GiftAction = "add"     // there was no value
	GiftReplaces GiftAction = "replace" // there was another, or one that cannot be read
	GiftKeeps    GiftAction = "keep"    // the value is there already
)

// Gift is one given value and what happens to it.
type Gift struct {
	ID
	File   string     `json:"file"`
	Secret bool       `json:"secret"`
	Action GiftAction `json:"action"`
}

// Name is how the value is called in messages.
func (g Gift) Name() string { return g.place() + "/" + g.ID.Name + "/" + g.File }

// GivePlan is what [Fleet.Give] does; it holds the values, but does not show
// them.
type GivePlan struct {
	Values []Gift `json:"values"`
	// MachineKeys are the machines that an age key is made for.
	MachineKeys []string `json:"machineKeys"`
	Notes       []string `json:"notes"`

	given Given
	graph *Graph
}

// Count tells how many values have an action.
func (p *GivePlan) Count(action GiftAction) (n int) {
	for _, gift := range p.Values {
		if gift.Action == action {
			n++
		}
	}
	return n
}

// Replaces names the values that exist and are others than those given.
func (p *GivePlan) Replaces() (names []string) {
	for _, gift := range p.Values {
		if gift.Action == GiftReplaces {
			names = append(names, gift.Name())
		}
	}
	return names
}

// Empty tells whether every given value is there already.
func (p *GivePlan) Empty() bool { return p.Count(GiftKeeps) == len(p.Values) }

// String is the plan as it is shown to a person.
func (p *GivePlan) String() string {
	var b strings.Builder
	for _, machine := range p.MachineKeys {
		fmt.Fprintf(&b, "make a key for %s\n", machine)
	}
	for _, gift := range p.Values {
		action := string(gift.Action)
		if gift.Action == GiftReplaces {
			action = "REPLACE"
		}
		fmt.Fprintf(&b, "%s %s\n", action, gift.Name())
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String()
}

// PlanGive says what it means to bring values: every one must be declared by a
// machine of the Fleet. What is wrong is reported all at once.
func (f *Fleet) PlanGive(ctx context.Context, given Given) (*GivePlan, error) {
	g, err := NewGraph(f.Machines)
	if err != nil {
		return nil, err
	}
	if err := f.declared(g, given); err != nil {
		return nil, err
	}
	p := &GivePlan{Values: []Gift{}, MachineKeys: []string{}, Notes: []string{}, given: given, graph: g}
	keys := map[string]bool{}
	for _, id := range g.order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, changed := g.nodes[id], false
		for _, file := range sorted(given[id]) {
			ref := n.ref(file)
			gift := Gift{ID: id, File: file, Secret: ref.Secret}
			if gift.Action, err = f.compareGiven(ctx, ref, given[id][file]); err != nil {
				return nil, err
			}
			p.Values = append(p.Values, gift)
			changed = changed || gift.Action == GiftReplaces
			if gift.Action != GiftKeeps && ref.Secret && n.Def.Files[file].Deploy {
				for _, machine := range n.Machines {
					keys[machine] = true
				}
			}
		}
		if changed {
			notes, err := f.madeFrom(g, id, given)
			if err != nil {
				return nil, err
			}
			p.Notes = append(p.Notes, notes...)
		}
	}
	for _, machine := range sorted(keys) {
		if _, err := f.Layout.Machine(machine); errors.Is(err, secrets.ErrNoMachineKey) {
			p.MachineKeys = append(p.MachineKeys, machine)
		} else if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// declared finds given values that no machine declares.
func (f *Fleet) declared(g *Graph, given Given) error {
	var errs *multierror.Error
	for _, id := range sortedIDs(given) {
		node := g.nodes[id]
		known := g.namesAt(id.Machine)
		if id.Shared() {
			known = g.sharedNames()
		}
		_, evaluated := f.Machines[id.Machine]
		switch {
		case !id.Shared() && !evaluated:
			errs = multierror.Append(errs, fmt.Errorf("there is no machine %s%s", id.Machine, flake.DidYouMean(id.Machine, sorted(f.Machines))))
			continue
		case node == nil && id.Shared():
			errs = multierror.Append(errs, fmt.Errorf("no machine shares a generator %s%s", id.Name, flake.DidYouMean(id.Name, known)))
			continue
		case node == nil && g.nodes[ID{Name: id.Name}] != nil:
			errs = multierror.Append(errs, fmt.Errorf("generator %s of %s is shared: its values belong into shared/%s", id.Name, id.Machine, id.Name))
			continue
		case node == nil:
			errs = multierror.Append(errs, fmt.Errorf("%s has no generator %s%s", id.Machine, id.Name, flake.DidYouMean(id.Name, known)))
			continue
		}
		for _, file := range sorted(given[id]) {
			if node.Def.Files[file] == nil {
				errs = multierror.Append(errs, fmt.Errorf("generator %s has no file %s%s", id, file, flake.DidYouMean(file, sorted(node.Def.Files))))
			}
		}
	}
	return errs.ErrorOrNil()
}

// compareGiven looks at what is there of a value. One that cannot be read
// counts as another one.
func (f *Fleet) compareGiven(ctx context.Context, ref secrets.Ref, data []byte) (GiftAction, error) {
	exists, err := f.Layout.Exists(ref)
	if err != nil {
		return "", err
	}
	if !exists {
		return GiftAdds, nil
	}
	if now, err := secrets.Open(ctx, f.Layout, ref, f.Identities); err != nil || !bytes.Equal(now, data) {
		return GiftReplaces, ctx.Err()
	}
	return GiftKeeps, nil
}

// madeFrom notes what keeps values made from the old one: files of a built-in
// generator beside it, and dependents.
func (f *Fleet) madeFrom(g *Graph, id ID, given Given) (notes []string, err error) {
	if n := g.nodes[id]; n.Def.Builtin != nil && given[id][builtin.Source(n.Def.Builtin.Kind)] != nil {
		for _, file := range sorted(n.Def.Files) {
			if given[id][file] != nil {
				continue
			}
			if exists, err := f.Layout.Exists(n.ref(file)); err != nil {
				return nil, err
			} else if exists {
				path, err := f.Layout.Path(n.ref(file))
				if err != nil {
					return nil, err
				}
				notes = append(notes, fmt.Sprintf("%s of %s was made from the old value; `rm %s` and `%s` make the one that belongs to the new", file, id, path, generateCommand(n.Machines)))
			}
		}
	}
	for _, dep := range g.dependents[id] {
		keeps, err := f.keeps(g.nodes[dep], given[dep])
		if err != nil {
			return nil, err
		}
		if keeps {
			notes = append(notes, staleNote(g.nodes[dep], id))
		}
	}
	return notes, nil
}

// keeps tells whether a generator has values besides those that are new.
func (f *Fleet) keeps(n *Node, fresh map[string][]byte) (bool, error) {
	for _, file := range sorted(n.Def.Files) {
		if _, isNew := fresh[file]; isNew {
			continue
		}
		if exists, err := f.Layout.Exists(n.ref(file)); exists || err != nil {
			return exists, err
		}
	}
	return false, nil
}

func staleNote(n *Node, from ID) string {
	return fmt.Sprintf("%s was made from the old value of %s and keeps its values; `fleet vars rotate %s %s` renews them",
		n.ID, from, strings.Join(n.Machines, " "), n.Name)
}

// GiveOptions is what [Fleet.Give] needs to know.
type GiveOptions struct {
	Limits Limits
	// Commit makes one git commit of exactly the files that are written.
	Commit bool
	Now    func() time.Time

	step func(string) error // see [repository.Repository.Begin]
}

// GiveReport is what was done.
type GiveReport struct {
	*GivePlan
	// Paths are the files written, sorted.
	Paths []string `json:"paths"`
}

// Give brings the values of a plan to their places, all at once. The other files
// of a generator stay. What an interrupted run has left is completed first.
func (f *Fleet) Give(ctx context.Context, p *GivePlan, opts GiveOptions) (*GiveReport, error) {
	repo, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	t, err := repo.Begin(ctx, opts.Limits.withDefaults().Lock, opts.step)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	// The plan was made without the lock.
	if again, err := f.PlanGive(ctx, p.given); err != nil {
		return nil, err
	} else if !slices.Equal(again.Values, p.Values) || !slices.Equal(again.MachineKeys, p.MachineKeys) {
		return nil, ErrChanged
	}
	files, err := f.sealGiven(ctx, p, opts.Now())
	if err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted, so nothing was changed: %w", err)
	}
	message := ""
	if opts.Commit {
		message = p.message()
	}
	placed, err := t.Apply(files, message)
	if !placed {
		return nil, err
	}
	report := &GiveReport{GivePlan: p, Paths: []string{}}
	for _, file := range files {
		report.Paths = append(report.Paths, file.Path)
	}
	slices.Sort(report.Paths)
	return report, err
}

func (f *Fleet) sealGiven(ctx context.Context, p *GivePlan, now time.Time) (files []repository.File, err error) {
	people, err := f.readers()
	if err != nil {
		return nil, err
	}
	if err := people.complete(); err != nil {
		return nil, err
	}
	for _, machine := range p.MachineKeys {
		holder, made, err := secrets.EnsureMachineKey(ctx, f.Layout, machine, now)
		if err != nil {
			return nil, machineError(machine, err)
		}
		people.add(machine, holder)
		files = append(files, made...)
	}
	f = f.with(files)
	touched := map[ID]bool{}
	for _, gift := range p.Values {
		if gift.Action == GiftKeeps {
			continue
		}
		touched[gift.ID] = true
		n := p.graph.nodes[gift.ID]
		ref := n.ref(gift.File)
		var before []string
		if ref.Secret {
			before, _ = secrets.Readers(f.Layout, ref)
		}
		made, err := secrets.Seal(ctx, f.Layout, ref, p.given[gift.ID][gift.File], people.holders(n, gift.File, before), now)
		if err != nil {
			return nil, err
		}
		files = append(files, made...)
	}
	for _, id := range sortedIDs(p.given) {
		if !touched[id] {
			continue
		}
		hash, err := f.givenHash(p, id)
		if err != nil {
			return nil, err
		}
		files = append(files, hash...)
	}
	return files, nil
}

// givenHash records that a generator's values fit what it is made from today,
// unless some of them are from before: those may be outdated.
func (f *Fleet) givenHash(p *GivePlan, id ID) ([]repository.File, error) {
	n := p.graph.nodes[id]
	if n.Def.ValidationHash == "" {
		return nil, nil
	}
	for _, file := range sorted(n.Def.Files) {
		if _, comes := p.given[id][file]; comes {
			continue
		}
		if exists, err := f.Layout.Exists(n.ref(file)); exists || err != nil {
			return nil, err
		}
	}
	path, err := f.Layout.HashPath(id.Machine, id.Name)
	return []repository.File{{Path: path, Data: []byte(n.Def.ValidationHash)}}, err
}

// message is that of the commit.
func (p *GivePlan) message() string {
	var names []string
	for _, gift := range p.Values {
		if gift.Action != GiftKeeps {
			names = append(names, gift.Name())
		}
	}
	if len(names) <= 2 {
		return "feat(vars): set " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("feat(vars): set %d values\n\n%s\n", len(names), strings.Join(names, "\n"))
}

func sortedIDs[V any](m map[ID]V) (ids []ID) {
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

// sharedNames lists the generators that machines share.
func (g *Graph) sharedNames() []string {
	names := map[string]bool{}
	for id := range g.nodes {
		if id.Shared() {
			names[id.Name] = true
		}
	}
	return sorted(names)
}
