package vars

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/flake"
)

// Request is what the user wants generated.
type Request struct {
	// Regenerate names generators whose values are made anew though they exist.
	Regenerate []string
	// Keep names generators whose values stay though something about them has
	// changed: only files that are missing are made, and what is there counts as
	// made from today's validation.
	Keep []string
	// Take is the machine whose values are taken where those of several differ and
	// one value is to be shared from now on.
	Take string
	// Publish names generators whose secrets may become public.
	Publish []string
	// Generators restricts the work to these, and to what they still need of
	// others; empty means all.
	Generators []string
}

// Situation is what is already there, as far as it matters for a plan.
type Situation struct {
	Generators map[ID]GeneratorState
	// MachineKeys tells of each selected machine whether it has a key.
	MachineKeys map[string]KeyState
	// Whole says that all machines of the fleet are selected.
	Whole bool
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
	// Elsewhere is what lies of missing files where they were kept before share or
	// secret were changed.
	Elsewhere []Placement
	// Beside is the same for a generator that has all its files and that more are
	// to share.
	Beside []Placement
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
	// Moves are values that belong to another place now, Removes what is left
	// behind at places where values were before.
	Moves   []Move    `json:"moves"`
	Removes []Removal `json:"removes"`
	// Accepted are generators whose values stay as they are, and count as made
	// from today's validation.
	Accepted []ID `json:"accepted"`
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
// was named to be regenerated. Only the files in Missing and Replaces are kept of
// what it makes.
type Step struct {
	ID
	// Machines declare the generator.
	Machines []string `json:"machines"`
	// Missing are the files that are not there yet, Replaces those that are
	// and get a new value, Keeps those that are and stay.
	Missing  []string `json:"missing"`
	Replaces []string `json:"replaces"`
	Keeps    []string `json:"keeps"`
	// From is the file among Keeps that a built-in generator makes the missing
	// ones from, so that they belong together; "" if they are made anew.
	From string `json:"from,omitempty"`
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
	// Reason is a sentence; Mend is the command that makes all values anew.
	Reason   string   `json:"reason"`
	Missing  []string `json:"missing"`
	Replaces []string `json:"replaces"`
	Mend     string   `json:"mend"`
	// Keep is the command that keeps what exists, Take the one that keeps what one
	// of the machines has, Publish the one that makes a secret public; "" where
	// that is not what is asked.
	Keep    string `json:"keep,omitempty"`
	Take    string `json:"take,omitempty"`
	Publish string `json:"publish,omitempty"`
}

func (r Refusal) Error() string { return fmt.Sprintf("generator %s: %s", r.ID, r.Reason) }

// Empty tells whether there is nothing to do and nothing to refuse.
func (p *Plan) Empty() bool {
	return len(p.MachineKeys)+len(p.Steps)+len(p.Moves)+len(p.Accepted)+len(p.Rewraps)+len(p.Refused) == 0
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
	for _, name := range slices.Concat(req.Regenerate, req.Keep, req.Publish, req.Generators) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no selected machine has a generator %s%s", name, flake.DidYouMean(name, known))
		}
		if slices.Contains(req.Regenerate, name) && slices.Contains(req.Keep, name) {
			return nil, fmt.Errorf("the values of %s can be made anew or kept, not both", name)
		}
	}
	if req.Take != "" && !slices.Contains(g.machines(), req.Take) {
		return nil, fmt.Errorf("no selected machine is called %s%s", req.Take, flake.DidYouMean(req.Take, g.machines()))
	}
	b := &planner{graph: g, now: now, req: req, steps: map[ID]*Step{}, moves: map[ID]*Move{}, accepted: map[ID]bool{}, refused: map[ID]*Refusal{}}
	for _, id := range g.order {
		b.decide(g.nodes[id])
	}
	return b.plan(b.wanted()), nil
}
