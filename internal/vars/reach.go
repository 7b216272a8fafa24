package vars

import (
	"slices"

	"github.com/crs58/fleet/internal/flake"
)

// Reach is a machine that a new value comes to with its next update.
type Reach struct {
	Machine string `json:"machine"`
	// Units are those that the machine's configuration names to be restarted.
	Units []string `json:"units"`
}

// Reached tells which machines new values come to, by name: those that a secret
// is deployed to, and those that read a public value. values are the new files
// of each generator.
func Reached(machines map[string]*flake.Details, values map[ID][]string) []Reach {
	reached := []Reach{}
	for _, machine := range sorted(machines) {
		units, hit := []string{}, false
		for name, def := range machines[machine].Generators {
			id := ID{Machine: machine, Name: name}
			if def.Share {
				id.Machine = ""
			}
			for _, name := range values[id] {
				if file := def.Files[name]; file != nil && (file.Deploy || !file.Secret) {
					hit = true
					units = append(units, file.RestartUnits...)
				}
			}
		}
		if hit {
			slices.Sort(units)
			reached = append(reached, Reach{Machine: machine, Units: slices.Compact(units)})
		}
	}
	return reached
}

// Stale notes which generators of machines that were not selected keep values
// made from shared ones that are new. Of the selected ones the plan tells.
func (f *Fleet) Stale(all map[string]*flake.Details, made map[ID][]string) (notes []string, err error) {
	g, err := NewGraph(all)
	if err != nil {
		return nil, err
	}
	for _, id := range sortedIDs(made) {
		for _, dep := range g.dependents[id] {
			n := g.nodes[dep]
			if slices.ContainsFunc(n.Machines, func(m string) bool { return f.Machines[m] != nil }) {
				continue
			}
			keeps, err := f.keeps(n, nil)
			if err != nil {
				return nil, err
			}
			if keeps {
				notes = append(notes, staleNote(n, id))
			}
		}
	}
	return notes, nil
}

// Made are the files of the steps of a plan that a run has done, for [Reached].
func (p *Plan) Made(report *Report) map[ID][]string {
	made := map[ID][]string{}
	for _, step := range p.Steps {
		if slices.Contains(report.Generated, step.ID) {
			made[step.ID] = slices.Concat(step.Missing, step.Replaces)
		}
	}
	return made
}

// Given are the files of the plan that change, for [Reached].
func (p *GivePlan) Given() map[ID][]string {
	given := map[ID][]string{}
	for _, gift := range p.Values {
		if gift.Action != GiftKeeps {
			given[gift.ID] = append(given[gift.ID], gift.File)
		}
	}
	return given
}
