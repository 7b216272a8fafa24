package vars

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars/builtin"
)

// planner holds what is decided so far. Every generator is decided as if it
// were asked for; which of them are asked for is decided last, because that
// goes from dependents to dependencies.
type planner struct {
	graph    *Graph
	now      Situation
	req      Request
	steps    map[ID]*Step
	moves    map[ID]*Move
	accepted map[ID]bool
	refused  map[ID]*Refusal
}

// need is what decides about one generator.
type need struct {
	// missing and present are its files; those that lie elsewhere are present.
	missing, present []string
	// to is what becomes of those that lie elsewhere.
	to relocation
	// named is to be made anew, kept to stay.
	named, kept bool
	// outdated says that the validation has changed since present was made.
	outdated bool
	// source is the file of present that a built-in generator makes all others
	// from; "" if there is none.
	source string
}

func (b *planner) need(n *Node) need {
	state := b.now.Generators[n.ID]
	x := need{
		missing: []string{}, present: []string{},
		named: slices.Contains(b.req.Regenerate, n.Name), kept: slices.Contains(b.req.Keep, n.Name),
	}
	var absent []string
	for _, file := range sorted(n.Def.Files) {
		lies := slices.ContainsFunc(state.Elsewhere, func(p Placement) bool { return p.Values[file].Path != "" })
		if state.Present[file] || lies {
			x.present = append(x.present, file)
		} else {
			x.missing = append(x.missing, file)
		}
		if !state.Present[file] {
			absent = append(absent, file)
		}
	}
	x.to = b.relocate(n, absent)
	x.outdated = n.Def.ValidationHash != "" && x.to.hash != n.Def.ValidationHash && len(x.present) > 0
	if n.Def.Builtin != nil && slices.Contains(x.present, builtin.Source(n.Def.Builtin.Kind)) {
		x.source = builtin.Source(n.Def.Builtin.Kind)
	}
	return x
}

func (b *planner) decide(n *Node) {
	need := b.need(n)
	if need.named {
		need.to = relocation{}
	}
	b.refused[n.ID] = need.to.refused
	switch {
	case need.to.refused != nil:
		return
	case !need.named && len(need.missing) == 0 && !need.outdated:
	case !need.named && len(need.missing) == 0 && need.kept:
		b.accepted[n.ID] = true
	default:
		if b.refused[n.ID] = b.refuse(n, need); b.refused[n.ID] != nil {
			return
		}
		b.steps[n.ID] = b.step(n, need)
	}
	b.moves[n.ID] = need.to.move
}

// refuse says why a generator that has to run must not; nil if it may.
func (b *planner) refuse(n *Node, need need) *Refusal {
	mend := generateCommand(n.Machines)
	r := &Refusal{ID: n.ID, Missing: need.missing, Replaces: need.present, Mend: mend + " --regenerate " + n.Name}
	anew := fmt.Sprintf("`--regenerate %s` makes all its values anew and replaces %s", n.Name, strings.Join(need.present, ", "))
	refused := slices.IndexFunc(n.DependsOn, func(dep ID) bool { return b.refused[dep] != nil })
	switch {
	case refused >= 0:
		r.Reason = fmt.Sprintf("it depends on %s, which is refused", n.DependsOn[refused])
	case need.named:
		return nil
	case len(need.present) == 0:
		return nil
	case len(need.missing) == 0: // it is outdated
		r.Reason = fmt.Sprintf("what it is made from (its validation) has changed since its values were made; `--keep %s` takes them as they are; %s", n.Name, anew)
		r.Keep = mend + " --keep " + n.Name
	case need.source != "":
		return nil
	case n.Def.Builtin != nil:
		r.Reason = fmt.Sprintf("%s missing while %s, from which it cannot be had; restore it from git, or %s", areOrIs(need.missing), exist(need.present), anew)
	case need.kept:
		return nil
	default:
		r.Reason = fmt.Sprintf("%s missing while %s; `--keep %s` makes only %s, which need not belong to what is there; %s",
			areOrIs(need.missing), exist(need.present), n.Name, strings.Join(need.missing, ", "), anew)
		r.Keep = mend + " --keep " + n.Name
	}
	return r
}

// step is what a generator that may run does.
func (b *planner) step(n *Node, need need) *Step {
	s := &Step{ID: n.ID, Machines: n.Machines, Missing: need.missing, Replaces: []string{}, Keeps: []string{}, Prompts: []Question{}, After: []ID{}}
	if need.named {
		s.Replaces = need.present
		s.Identity = identity(n.Def, s.Replaces)
	} else {
		s.Keeps, s.From = need.present, need.source
	}
	if s.From == "" {
		for _, prompt := range inGroups(n.Def.Prompts) {
			name := prompt.Name
			lies := b.now.Generators[n.ID].Present[name] || need.to.move != nil && slices.Contains(need.to.move.Files, name)
			s.Prompts = append(s.Prompts, Question{ID: n.ID, Prompt: prompt, Machines: n.Machines, Stored: prompt.Persist && lies, renew: need.named})
		}
	}
	for _, dep := range n.DependsOn {
		if b.steps[dep] != nil {
			s.After = append(s.After, dep)
		}
	}
	return s
}

// inGroups are prompts by the heading that they appear under, and by name.
func inGroups(prompts map[string]*flake.Prompt) []*flake.Prompt {
	return slices.SortedFunc(maps.Values(prompts), func(a, b *flake.Prompt) int {
		return cmp.Or(strings.Compare(a.Display.Group, b.Display.Group), strings.Compare(a.Name, b.Name))
	})
}

// wanted are the generators that were asked for, and those that they need to
// run first.
func (b *planner) wanted() map[ID]bool {
	wanted := map[ID]bool{}
	for _, id := range slices.Backward(b.graph.order) {
		asked := len(b.req.Generators) == 0 || slices.ContainsFunc([][]string{b.req.Generators, b.req.Regenerate, b.req.Keep, b.req.Publish}, func(names []string) bool {
			return slices.Contains(names, id.Name)
		})
		needed := slices.ContainsFunc(b.graph.dependents[id], func(d ID) bool {
			return wanted[d] && (b.steps[d] != nil || b.refused[d] != nil)
		})
		wanted[id] = asked || needed
	}
	return wanted
}

func (b *planner) plan(wanted map[ID]bool) *Plan {
	p := &Plan{Request: b.req, MachineKeys: []string{}, Steps: []Step{}, Moves: []Move{}, Removes: []Removal{}, Accepted: []ID{}, Rewraps: []Rewrap{}, Refused: []Refusal{}, Notes: []string{}, graph: b.graph}
	for _, machine := range sorted(b.now.MachineKeys) {
		switch key := b.now.MachineKeys[machine]; {
		case !key.Present && b.deploysTo(machine, wanted):
			p.MachineKeys = append(p.MachineKeys, machine)
		case len(key.Lacks) > 0:
			p.Rewraps = append(p.Rewraps, Rewrap{ID: ID{Machine: machine}, Add: key.Lacks})
		}
	}
	for _, id := range b.graph.order {
		if !wanted[id] {
			continue
		}
		if refused := b.refused[id]; refused != nil {
			p.Refused = append(p.Refused, *refused)
		}
		if move := b.moves[id]; move != nil {
			p.Moves = append(p.Moves, *move)
		}
		if b.accepted[id] {
			p.Accepted = append(p.Accepted, id)
		}
		replaced := []string{}
		if step := b.steps[id]; step != nil {
			p.Steps = append(p.Steps, *step)
			p.Notes = append(p.Notes, b.stale(step, wanted)...)
			replaced = step.Replaces
		}
		state := b.now.Generators[id]
		for _, own := range state.Beside {
			if own.Machine != "" {
				p.Notes = append(p.Notes, fmt.Sprintf("%s has values of its own of %s, which those that are shared take the place of; `fleet vars check` tells how to remove them", own.Machine, id.Name))
			}
		}
		for _, file := range sorted(state.Damaged) {
			if !slices.Contains(replaced, file) {
				p.Notes = append(p.Notes, state.Damaged[file])
			}
		}
		for _, file := range sorted(state.Lacks) {
			if !slices.Contains(replaced, file) {
				p.Rewraps = append(p.Rewraps, Rewrap{ID: id, File: file, Add: state.Lacks[file]})
			}
		}
	}
	removals, notes := b.removals(p)
	p.Removes, p.Notes = append(p.Removes, removals...), append(p.Notes, notes...)
	return p
}

// deploysTo tells whether a wanted generator puts a secret on the machine.
func (b *planner) deploysTo(machine string, wanted map[ID]bool) bool {
	return slices.ContainsFunc(b.graph.order, func(id ID) bool {
		return wanted[id] && b.graph.nodes[id].deploysTo(machine)
	})
}

// stale notes the dependents that keep values made from what a step replaces.
func (b *planner) stale(step *Step, wanted map[ID]bool) (notes []string) {
	if len(step.Keeps) > 0 {
		return nil
	}
	for _, dep := range b.graph.dependents[step.ID] {
		has := slices.Contains(slices.Collect(maps.Values(b.now.Generators[dep].Present)), true)
		renewed := wanted[dep] && b.steps[dep] != nil && len(b.steps[dep].Keeps) == 0
		if has && !renewed {
			notes = append(notes, fmt.Sprintf("%s was made from %s and keeps its values; `--regenerate %s,%s` renews both", dep, step.ID, step.Name, dep.Name))
		}
	}
	return notes
}

// generateCommand is what a person types for some machines.
func generateCommand(machines []string) string {
	const most = 4
	if len(machines) > most {
		return "fleet vars generate --all"
	}
	return "fleet vars generate " + strings.Join(machines, " ")
}

func areOrIs(files []string) string {
	if len(files) == 1 {
		return files[0] + " is"
	}
	return strings.Join(files, ", ") + " are"
}

func exist(files []string) string {
	if len(files) == 1 {
		return files[0] + " exists"
	}
	return strings.Join(files, ", ") + " exist"
}
