package vars

import (
	"context"
	"strings"
	"time"
)

// Row is one value of one machine, as [Fleet.List] shows it.
type Row struct {
	Machine   string `json:"machine"`
	Generator string `json:"generator"`
	File      string `json:"file"`
	Secret    bool   `json:"secret"`
	Shared    bool   `json:"shared"`
	Deploy    bool   `json:"deploy"`
	Present   bool   `json:"present"`
	// Outdated says that the value was made from other input than today's.
	Outdated bool `json:"outdated,omitempty"`
	// Lacks should be able to read the secret and cannot, Extra can and should
	// not.
	Lacks []string `json:"lacks,omitempty"`
	Extra []string `json:"extra,omitempty"`
	// Damaged says why nobody can read the secret.
	Damaged string `json:"damaged,omitempty"`
	// Path is where the value lies on the machine; empty if it does not.
	Path string `json:"path,omitempty"`
	// Changed is when a value that is present was changed last; see [Fleet.Date].
	Changed time.Time `json:"changed,omitzero"`

	place string // in the repository
}

// Readers is the state of the recipients in a word or two: "" for a value that
// is public or missing.
func (r Row) Readers() string {
	switch {
	case !r.Secret || !r.Present:
		return ""
	case r.Damaged != "":
		return "damaged"
	case len(r.Lacks) > 0:
		return "lacks " + strings.Join(r.Lacks, ", ")
	case len(r.Extra) > 0:
		return "also " + strings.Join(r.Extra, ", ")
	}
	return "right"
}

// List shows every declared value of the selected machines, by machine,
// generator and file. It needs no key.
func (f *Fleet) List(ctx context.Context) ([]Row, error) {
	g, err := NewGraph(f.Machines)
	if err != nil {
		return nil, err
	}
	people, err := f.readers()
	if err != nil {
		return nil, err
	}
	rows := []Row{}
	for _, machine := range sorted(f.Machines) {
		for _, name := range sorted(f.Machines[machine].Generators) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			def := f.Machines[machine].Generators[name]
			id := ID{Machine: machine, Name: name}
			if def.Share {
				id.Machine = ""
			}
			node := g.nodes[id]
			hash, err := f.Layout.Hash(id.Machine, name)
			if err != nil {
				return nil, err
			}
			for _, file := range sorted(def.Files) {
				row := Row{
					Machine: machine, Generator: name, File: file, Shared: def.Share,
					Secret: def.Files[file].Secret, Deploy: def.Files[file].Deploy,
				}
				ref := node.ref(file)
				if row.place, err = f.Layout.Path(ref); err != nil {
					return nil, err
				}
				if row.Present, err = f.Layout.Exists(ref); err != nil {
					return nil, err
				}
				row.Outdated = row.Present && def.ValidationHash != "" && hash != def.ValidationHash
				if row.Secret && row.Deploy {
					row.Path = def.Files[file].Path
				}
				if row.Secret && row.Present {
					a, err := people.audit(node, file)
					if err != nil {
						row.Damaged = err.Error()
					}
					row.Lacks, row.Extra = a.Lacks, a.Extra
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}
