package vars

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/secrets"
)

// Move is a generator that keeps its values though its share, or the secret of
// some file, was changed: they are brought to where they belong now, encrypted to
// those who read them there.
type Move struct {
	ID
	Files []string `json:"files"`
	// From is whose the values were: a machine, or "shared".
	From string `json:"from"`
	// Publishes are the files that were secret and are public from now on.
	Publishes []string `json:"publishes"`
	// Drops are machines whose own values, which are others, are given up.
	Drops []string `json:"drops"`

	refs map[string]secrets.Ref // where each file lies
}

// Removal is a file that lies where its generator kept it before, and that goes
// because its value has moved or was made anew.
type Removal struct {
	Path string `json:"path"`

	ref  secrets.Ref
	hash bool // it is not ref but the validation hash beside it
	// after are the generators that must have got their values.
	after []ID
}

// relocation is what is to become of values that lie elsewhere.
type relocation struct {
	move *Move // nil if there are none, or if refused is set
	hash string
	// refused says why they cannot be moved.
	refused *Refusal
}

// relocate decides for the missing files of a generator what of them moves.
func (b *planner) relocate(n *Node, missing []string) (to relocation) {
	state := b.now.Generators[n.ID]
	to.hash = state.Hash
	if len(state.Elsewhere) == 0 {
		return to
	}
	var own, others []Placement
	for _, p := range state.Elsewhere {
		if p.Machine == n.Machine {
			own = append(own, p)
		} else {
			others = append(others, p)
		}
	}
	m := &Move{ID: n.ID, Files: []string{}, From: n.place(), Publishes: []string{}, Drops: []string{}, refs: map[string]secrets.Ref{}}
	if len(others) > 0 {
		source, differ := b.choose(others)
		if source == nil {
			to.refused = b.refusal(n, missing, differ+fmt.Sprintf(", `--regenerate %s` makes new ones", n.Name))
			to.refused.Take = generateCommand(n.Machines) + " --take MACHINE"
			return to
		}
		own, m.From = append(own, *source), ID{Machine: source.Machine}.place()
		if len(own) == 1 {
			to.hash = source.Hash
		}
		for _, p := range others {
			if same, _ := sameValues(*source, p); differ != "" && !same && p.Machine != source.Machine {
				m.Drops = append(m.Drops, p.Machine)
			}
		}
	}
	for _, file := range missing {
		for _, p := range own {
			placed, ok := p.Values[file]
			if !ok {
				continue
			}
			def := n.Def.Files[file]
			if def.Secret && !placed.Secret {
				to.refused = b.refusal(n, missing, fmt.Sprintf("%s is to be secret, but %s holds it in plain, so that everybody who has the repository knows it; `--regenerate %s` makes new values", file, placed.Path, n.Name))
				return to
			}
			if !def.Secret && placed.Secret {
				m.Publishes = append(m.Publishes, file)
			}
			m.Files = append(m.Files, file)
			m.refs[file] = secrets.Ref{Machine: p.Machine, Generator: n.Name, File: file, Secret: placed.Secret}
			break
		}
	}
	if len(m.Publishes) > 0 && !slices.Contains(b.req.Publish, n.Name) {
		files := strings.Join(m.Publishes, ", ")
		to.refused = b.refusal(n, missing, fmt.Sprintf("%s was secret and is to be public; `--publish %s` writes it in plain into the repository, whose history keeps it", files, n.Name))
		to.refused.Publish = generateCommand(n.Machines) + " --publish " + n.Name
		return to
	}
	to.move = m
	return to
}

// choose picks the machine whose values all are to share. Where they differ it is
// the one that the user has named, or none; differ says so in either case.
func (b *planner) choose(others []Placement) (source *Placement, differ string) {
	var machines []string
	same, unread := true, ""
	for _, p := range others {
		machines = append(machines, p.Machine)
		if equal, why := sameValues(others[0], p); !equal {
			same, unread = false, cmp.Or(unread, why)
		}
	}
	if len(others) == 1 || same {
		return &others[0], ""
	}
	differ = "it is shared from now on, and its values on " + strings.Join(machines, ", ") + " differ"
	if unread != "" {
		differ = "it is shared from now on, and whether its values on " + strings.Join(machines, ", ") + " are the same cannot be told (" + unread + ")"
	}
	if i := slices.Index(machines, b.req.Take); i >= 0 {
		return &others[i], differ
	}
	return nil, differ + "; `--take MACHINE` gives those of one to all"
}

// sameValues tells whether two machines have the same values, and why that is not
// known.
func sameValues(a, b Placement) (same bool, unread string) {
	same = true
	for _, file := range sorted(union(a.Values, b.Values)) {
		x, y := a.Values[file], b.Values[file]
		if x.Path == "" || y.Path == "" {
			return false, ""
		}
		same = same && x.Same == y.Same
		unread = cmp.Or(unread, x.Unread, y.Unread)
	}
	return same && unread == "", unread
}

// refusal is one of a generator whose missing values lie elsewhere.
func (b *planner) refusal(n *Node, missing []string, reason string) *Refusal {
	return &Refusal{ID: n.ID, Reason: reason, Missing: []string{}, Replaces: missing, Mend: generateCommand(n.Machines) + " --regenerate " + n.Name}
}

// removals are what is left behind by the moves of a plan and by generators
// that were made anew. What was shared goes when nobody needs it any more.
func (b *planner) removals(p *Plan) (all []Removal, notes []string) {
	settled := map[ID]bool{}
	for _, move := range p.Moves {
		settled[move.ID] = true
	}
	for _, step := range p.Steps {
		settled[step.ID] = settled[step.ID] || slices.Contains(b.req.Regenerate, step.Name)
	}
	index := map[string]int{}
	add := func(id ID, path string, r Removal) {
		if i, known := index[path]; known {
			all[i].after = append(all[i].after, id)
			return
		}
		index[path] = len(all)
		r.Path, r.after = path, []ID{id}
		all = append(all, r)
	}
	stays := map[string]bool{}
	for _, id := range b.graph.order {
		if !settled[id] {
			continue
		}
		for _, placement := range b.now.Generators[id].Elsewhere {
			if placement.Machine == "" && !id.Shared() && b.needsShared(id.Name, settled) {
				stays[id.Name] = true
				continue
			}
			for _, file := range sorted(placement.Values) {
				placed := placement.Values[file]
				add(id, placed.Path, Removal{ref: secrets.Ref{Machine: placement.Machine, Generator: id.Name, File: file, Secret: placed.Secret}})
			}
			if placement.Hash != "" && placement.Machine != id.Machine {
				add(id, placement.HashPath, Removal{ref: secrets.Ref{Machine: placement.Machine, Generator: id.Name}, hash: true})
			}
		}
	}
	for _, name := range sorted(stays) {
		notes = append(notes, fmt.Sprintf("the shared values of %s stay where they are, for others that may use them; `fleet vars check` tells when nobody does any more", name))
	}
	return all, notes
}

// needsShared tells whether somebody may still use the shared values of a
// generator: who shares it, who was not looked at, who does not get them now.
func (b *planner) needsShared(name string, settled map[ID]bool) bool {
	if !b.now.Whole || b.graph.nodes[ID{Name: name}] != nil {
		return true
	}
	return slices.ContainsFunc(b.graph.order, func(id ID) bool {
		shared := func(p Placement) bool { return p.Machine == "" }
		return id.Name == name && !settled[id] && slices.ContainsFunc(b.now.Generators[id].Elsewhere, shared)
	})
}
