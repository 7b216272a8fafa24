package vars

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// Request is what the user wants generated.
type Request struct {
	// Regenerate names generators whose values are made anew though they exist.
	Regenerate []string
	// Generators restricts the work to these, and to what they still need of
	// others; empty means all.
	Generators []string
}

// Situation is what is already there, as far as it matters for a plan.
type Situation struct {
	Generators map[ID]GeneratorState
	// MachineKeys tells of each selected machine whether it has a key.
	MachineKeys map[string]KeyState
}

// GeneratorState is what is on disk of one generator.
type GeneratorState struct {
	// Present are the declared files that exist.
	Present map[string]bool
	// Hash is the validation hash recorded when they were made.
	Hash string
	// Lacks tells for existing secrets who should be able to read them and
	// cannot, by name.
	Lacks map[string][]string
	// Elsewhere is the path of a value that was made when share or secret of the
	// generator were set differently; "" if there is none.
	Elsewhere string
	// Damaged tells of existing secrets that are no sops files what is wrong.
	Damaged map[string]string
}

// KeyState is what is on disk of a machine's key.
type KeyState struct {
	Present bool
	// Lacks are administrators who cannot read the private key, by name.
	Lacks []string
}

// Plan is what a run does, and why: [Fleet.Run] does this and nothing else.
type Plan struct {
	Request Request `json:"-"`
	// MachineKeys are the machines that an age key is made for.
	MachineKeys []string `json:"machineKeys"`
	// Steps are the generators to run, dependencies first.
	Steps []Step `json:"steps"`
	// Rewraps are existing secrets that more people are to read; their values
	// and all that can read them already stay.
	Rewraps []Rewrap `json:"rewraps"`
	// Refused are generators that need to run but would replace a value that
	// nobody named.
	Refused []Refusal `json:"refused"`
	Notes   []string  `json:"notes"`

	graph *Graph
}

// Step is one generator to run. It runs because files are missing or because it
// was named to be regenerated.
type Step struct {
	ID
	// Machines declare the generator.
	Machines []string `json:"machines"`
	// Missing are the files that are not there yet, Replaces those that are
	// and get a new value.
	Missing  []string `json:"missing"`
	Replaces []string `json:"replaces"`
	// Identity is by what others know a machine or trust the fleet, if that is
	// among what is replaced: "an ssh key".
	Identity string `json:"identity,omitempty"`
	// Prompts are the questions whose answers the script reads.
	Prompts []Question `json:"prompts"`
	// After are the generators of this plan that run before.
	After []ID `json:"after"`
}

// Rewrap is a secret whose value stays and which more are to read. File is
// empty for the private key of the machine.
type Rewrap struct {
	ID
	File string   `json:"file,omitempty"`
	Add  []string `json:"add"`
}

func (r Rewrap) String() string {
	if r.File == "" {
		return "the private key of " + r.Machine
	}
	return r.place() + "/" + r.Name + "/" + r.File
}

// Refusal says why a generator that needs to run does not.
type Refusal struct {
	ID
	// Reason is a sentence; Mend is the command that does it nevertheless.
	Reason   string   `json:"reason"`
	Replaces []string `json:"replaces"`
	Mend     string   `json:"mend"`
}

func (r Refusal) Error() string { return fmt.Sprintf("generator %s: %s", r.ID, r.Reason) }

// Empty tells whether there is nothing to do and nothing to refuse.
func (p *Plan) Empty() bool {
	return len(p.MachineKeys)+len(p.Steps)+len(p.Rewraps)+len(p.Refused) == 0
}

// Questions are all the questions of the plan, in its order.
func (p *Plan) Questions() (all []Question) {
	for _, step := range p.Steps {
		all = append(all, step.Prompts...)
	}
	return all
}

// runsScripts tells whether any generator of the plan is not built in.
func (p *Plan) runsScripts() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return p.graph.nodes[s.ID].Def.Builtin == nil })
}

// same compares what two plans do.
func (p *Plan) same(other *Plan) bool {
	x, y := *p, *other
	x.Notes, y.Notes = nil, nil
	a, errA := json.Marshal(x)
	b, errB := json.Marshal(y)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// NewPlan decides what to do. It looks at nothing but its arguments.
func NewPlan(g *Graph, now Situation, req Request) (*Plan, error) {
	known := g.names()
	for _, name := range slices.Concat(req.Regenerate, req.Generators) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no selected machine has a generator %s%s", name, flake.DidYouMean(name, known))
		}
	}
	b := &planner{graph: g, now: now, req: req, steps: map[ID]*Step{}, refused: map[ID]*Refusal{}}
	for _, id := range g.order {
		b.decide(g.nodes[id])
	}
	return b.plan(b.wanted()), nil
}

// planner holds what is decided so far. Every generator is decided as if it
// were asked for; which of them are asked for is decided last, because that
// goes from dependents to dependencies.
type planner struct {
	graph   *Graph
	now     Situation
	req     Request
	steps   map[ID]*Step
	refused map[ID]*Refusal
}

func (b *planner) decide(n *Node) {
	state := b.now.Generators[n.ID]
	step := &Step{ID: n.ID, Machines: n.Machines, Missing: []string{}, Replaces: []string{}, Prompts: []Question{}, After: []ID{}}
	for _, file := range sorted(n.Def.Files) {
		if state.Present[file] {
			step.Replaces = append(step.Replaces, file)
		} else {
			step.Missing = append(step.Missing, file)
		}
	}
	outdated := n.Def.ValidationHash != "" && state.Hash != n.Def.ValidationHash && len(step.Replaces) > 0
	named := slices.Contains(b.req.Regenerate, n.Name)
	if !named && len(step.Missing) == 0 && !outdated {
		return
	}
	if reason := b.refusal(n, step, named, outdated); reason != "" {
		b.refused[n.ID] = &Refusal{ID: n.ID, Reason: reason, Replaces: step.Replaces, Mend: generateCommand(n.Machines) + " --regenerate " + n.Name}
		return
	}
	step.Identity = identity(n.Def, step.Replaces)
	for _, name := range sorted(n.Def.Prompts) {
		prompt := n.Def.Prompts[name]
		step.Prompts = append(step.Prompts, Question{ID: n.ID, Prompt: prompt, Machines: n.Machines, Stored: prompt.Persist && state.Present[name]})
	}
	for _, dep := range n.DependsOn {
		if b.steps[dep] != nil {
			step.After = append(step.After, dep)
		}
	}
	b.steps[n.ID] = step
}

// refusal says why a generator that has to run must not; "" if it may.
func (b *planner) refusal(n *Node, step *Step, named, outdated bool) string {
	for _, dep := range n.DependsOn {
		if b.refused[dep] != nil {
			return fmt.Sprintf("it depends on %s, which is refused", dep)
		}
	}
	mend := fmt.Sprintf("; `--regenerate %s` makes all its values anew and replaces %s", n.Name, strings.Join(step.Replaces, ", "))
	switch {
	case named:
		return ""
	case b.now.Generators[n.ID].Elsewhere != "":
		return fmt.Sprintf("a value lies in %s, from before its share or secret was changed; set it back, or `--regenerate %s` makes new values", b.now.Generators[n.ID].Elsewhere, n.Name)
	case len(step.Replaces) == 0:
		return ""
	case len(step.Missing) > 0:
		return fmt.Sprintf("%s missing while %s", areOrIs(step.Missing), exist(step.Replaces)) + mend
	case outdated:
		return "what it is made from (its validation) has changed since its values were made" + mend
	}
	return ""
}

// wanted are the generators that were asked for, and those that they need to
// run first.
func (b *planner) wanted() map[ID]bool {
	wanted := map[ID]bool{}
	for _, id := range slices.Backward(b.graph.order) {
		asked := len(b.req.Generators) == 0 || slices.Contains(b.req.Generators, id.Name) || slices.Contains(b.req.Regenerate, id.Name)
		needed := slices.ContainsFunc(b.graph.dependents[id], func(d ID) bool {
			return wanted[d] && (b.steps[d] != nil || b.refused[d] != nil)
		})
		wanted[id] = asked || needed
	}
	return wanted
}

func (b *planner) plan(wanted map[ID]bool) *Plan {
	p := &Plan{Request: b.req, MachineKeys: []string{}, Steps: []Step{}, Rewraps: []Rewrap{}, Refused: []Refusal{}, Notes: []string{}, graph: b.graph}
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
		if step := b.steps[id]; step != nil {
			p.Steps = append(p.Steps, *step)
			p.Notes = append(p.Notes, b.stale(id, wanted)...)
			continue
		}
		for _, file := range sorted(b.now.Generators[id].Damaged) {
			p.Notes = append(p.Notes, b.now.Generators[id].Damaged[file])
		}
		lacks := b.now.Generators[id].Lacks
		for _, file := range sorted(lacks) {
			p.Rewraps = append(p.Rewraps, Rewrap{ID: id, File: file, Add: lacks[file]})
		}
	}
	return p
}

// deploysTo tells whether a wanted generator puts a secret on the machine.
func (b *planner) deploysTo(machine string, wanted map[ID]bool) bool {
	return slices.ContainsFunc(b.graph.order, func(id ID) bool {
		return wanted[id] && b.graph.nodes[id].deploysTo(machine)
	})
}

// stale notes the dependents that keep values made from what id replaces.
func (b *planner) stale(id ID, wanted map[ID]bool) (notes []string) {
	for _, dep := range b.graph.dependents[id] {
		runs := wanted[dep] && b.steps[dep] != nil
		if !runs && len(b.now.Generators[dep].Present) > 0 {
			notes = append(notes, fmt.Sprintf("%s was made from %s and keeps its values; `--regenerate %s,%s` renews both", dep, id, id.Name, dep.Name))
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
