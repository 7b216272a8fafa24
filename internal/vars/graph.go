package vars

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars/builtin"
)

// ID names a generator where it lives: on one machine or, without a machine,
// shared by all that declare it.
type ID struct {
	Machine string `json:"machine,omitempty"`
	Name    string `json:"generator"`
}

// Shared tells whether the generator belongs to no single machine.
func (id ID) Shared() bool { return id.Machine == "" }

func (id ID) String() string {
	if id.Shared() {
		return id.Name + " (shared)"
	}
	return id.Name + " on " + id.Machine
}

// place is the part of a path or answer key that stands for the machine.
func (id ID) place() string {
	if id.Shared() {
		return "shared"
	}
	return id.Machine
}

// compareIDs sorts shared generators first, then by machine and name.
func compareIDs(a, b ID) int {
	return cmp.Or(strings.Compare(a.Machine, b.Machine), strings.Compare(a.Name, b.Name))
}

// Node is one generator of the graph.
type Node struct {
	ID
	// Def is the definition; of a shared generator that of the first machine.
	Def *flake.Generator
	// Machines declare the generator, sorted: one, or several of a shared one.
	Machines []string
	// DependsOn are the generators whose values the script reads, sorted.
	DependsOn []ID
}

// deploysTo tells whether the generator puts a secret on the machine.
func (n *Node) deploysTo(machine string) bool {
	if !slices.Contains(n.Machines, machine) {
		return false
	}
	for _, file := range n.Def.Files {
		if file.Secret && file.Deploy {
			return true
		}
	}
	return false
}

// Graph is every generator of the selected machines, in an order in which each
// comes after those it depends on. The order is the same in every run.
type Graph struct {
	nodes      map[ID]*Node
	order      []ID
	dependents map[ID][]ID // who reads its values directly, in order
}

// Node returns a generator, or nil.
func (g *Graph) Node(id ID) *Node { return g.nodes[id] }

// Order lists all generators, dependencies first.
func (g *Graph) Order() []ID { return slices.Clone(g.order) }

// NewGraph orders the generators of some machines. All that is wrong with them
// is reported at once.
func NewGraph(machines map[string]*flake.Details) (*Graph, error) {
	g := &Graph{nodes: map[ID]*Node{}, dependents: map[ID][]ID{}}
	var errs []error
	for _, machine := range sorted(machines) {
		for _, name := range sorted(machines[machine].Generators) {
			if err := g.add(machine, name, machines[machine].Generators[name]); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(g.nodes), compareIDs) {
		errs = append(errs, g.resolve(g.nodes[id], machines)...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return g, g.sort()
}

func (g *Graph) add(machine, name string, def *flake.Generator) error {
	id := ID{Machine: machine, Name: name}
	if def.Share {
		id.Machine = ""
	}
	known, ok := g.nodes[id]
	if !ok {
		g.nodes[id] = &Node{ID: id, Def: def, Machines: []string{machine}}
		return nil
	}
	known.Machines = append(known.Machines, machine)
	if diff := differences(known.Def, def); len(diff) > 0 {
		return fmt.Errorf("machines %s and %s define the shared generator %s differently (first/second): %s; give both the same definition",
			known.Machines[0], machine, name, strings.Join(diff, ", "))
	}
	return nil
}

// resolve finds what a generator depends on: by name on the same machine, or
// shared by others.
func (g *Graph) resolve(n *Node, machines map[string]*flake.Details) (errs []error) {
	for _, name := range slices.Compact(sortedList(n.Def.Dependencies)) {
		// One of the machine's own comes before one that others share.
		owner := slices.IndexFunc(n.Machines, func(m string) bool { return g.nodes[ID{Machine: m, Name: name}] != nil })
		switch {
		case owner >= 0 && n.Shared():
			errs = append(errs, fmt.Errorf("shared generator %s depends on %s, which has a value of its own on %s: set share = true there too, or unset it here",
				n.Name, name, n.Machines[owner]))
		case owner >= 0:
			n.DependsOn = append(n.DependsOn, ID{Machine: n.Machine, Name: name})
		case g.nodes[ID{Name: name}] != nil:
			n.DependsOn = append(n.DependsOn, ID{Name: name})
		default:
			errs = append(errs, fmt.Errorf("generator %s depends on %s, which neither its machine declares nor any selected one shares%s",
				n.ID, name, flake.DidYouMean(name, g.namesFor(n, machines))))
		}
	}
	return errs
}

// namesFor lists what n could depend on.
func (g *Graph) namesFor(n *Node, machines map[string]*flake.Details) []string {
	names := map[string]bool{}
	for id := range g.nodes {
		if id.Shared() && id.Name != n.Name {
			names[id.Name] = true
		}
	}
	for name := range machines[n.Machines[0]].Generators {
		if name != n.Name {
			names[name] = true
		}
	}
	return sorted(names)
}

// sort fills g.order, and finds circles.
func (g *Graph) sort() error {
	var way []ID
	done := map[ID]bool{}
	var visit func(id ID) error
	visit = func(id ID) error {
		if done[id] {
			return nil
		}
		if i := slices.Index(way, id); i >= 0 {
			return circle(way[i:])
		}
		way = append(way, id)
		for _, dep := range g.nodes[id].DependsOn {
			if err := visit(dep); err != nil {
				return err
			}
		}
		way = way[:len(way)-1]
		done[id] = true
		g.order = append(g.order, id)
		for _, dep := range g.nodes[id].DependsOn {
			g.dependents[dep] = append(g.dependents[dep], id)
		}
		return nil
	}
	for _, id := range slices.SortedFunc(maps.Keys(g.nodes), compareIDs) {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}

func circle(way []ID) error {
	var text strings.Builder
	for _, id := range way {
		text.WriteString(id.String() + " → ")
	}
	return fmt.Errorf("generators depend on each other in a circle: %s%s; remove one of these dependencies", text.String(), way[0])
}

// namesAt lists the generators of one machine.
func (g *Graph) namesAt(machine string) []string {
	names := map[string]bool{}
	for id, n := range g.nodes {
		if slices.Contains(n.Machines, machine) {
			names[id.Name] = true
		}
	}
	return sorted(names)
}

// machines lists those that declare any generator.
func (g *Graph) machines() []string {
	machines := map[string]bool{}
	for _, n := range g.nodes {
		for _, machine := range n.Machines {
			machines[machine] = true
		}
	}
	return sorted(machines)
}

// names lists the names of all generators, each once.
func (g *Graph) names() []string {
	names := map[string]bool{}
	for id := range g.nodes {
		names[id.Name] = true
	}
	return sorted(names)
}

// differences lists in what two definitions of one shared generator disagree.
// Owner, mode and place on the machine may differ: they do not touch the value.
func differences(a, b *flake.Generator) (diff []string) {
	for _, name := range sorted(union(a.Files, b.Files)) {
		x, y := a.Files[name], b.Files[name]
		switch {
		case x == nil || y == nil:
			diff = append(diff, "file "+name+onlyIn(x != nil))
		case x.Secret != y.Secret:
			diff = append(diff, fmt.Sprintf("secret of file %s (%t/%t)", name, x.Secret, y.Secret))
		case x.Deploy != y.Deploy:
			diff = append(diff, fmt.Sprintf("deploy of file %s (%t/%t)", name, x.Deploy, y.Deploy))
		}
	}
	for _, name := range sorted(union(a.Prompts, b.Prompts)) {
		x, y := a.Prompts[name], b.Prompts[name]
		switch {
		case x == nil || y == nil:
			diff = append(diff, "prompt "+name+onlyIn(x != nil))
		case x.Type != y.Type:
			diff = append(diff, fmt.Sprintf("type of prompt %s (%s/%s)", name, x.Type, y.Type))
		case x.Persist != y.Persist:
			diff = append(diff, fmt.Sprintf("persist of prompt %s (%t/%t)", name, x.Persist, y.Persist))
		}
	}
	if x, y := sortedList(a.Dependencies), sortedList(b.Dependencies); !slices.Equal(x, y) {
		diff = append(diff, fmt.Sprintf("dependencies (%s/%s)", listOrNone(x), listOrNone(y)))
	}
	if a.ValidationHash != b.ValidationHash {
		diff = append(diff, "validation")
	}
	if !builtin.Same(a.Builtin, b.Builtin) {
		diff = append(diff, "builtin")
	}
	return diff
}

func onlyIn(first bool) string {
	if first {
		return " (only in the first)"
	}
	return " (only in the second)"
}

func union[V any](a, b map[string]V) map[string]bool {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortedList(list []string) []string { return slices.Sorted(slices.Values(list)) }

func listOrNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
