package vars

import (
	"slices"

	"github.com/crs58/fleet/internal/secrets"
)

// Deployed are the secrets that the activation of a machine puts in place, by
// their path there. Those that have no value yet are not among them: unmade are
// their names, generator/file.
func (f *Fleet) Deployed(machine string) (deployed map[string]secrets.Ref, unmade []string, err error) {
	deployed = map[string]secrets.Ref{}
	for name, g := range f.Machines[machine].Generators {
		for fileName, file := range g.Files {
			if !file.Secret || !file.Deploy || file.Path == "" || file.NeededFor == "partitioning" {
				continue
			}
			ref := secrets.Ref{Machine: machine, Generator: name, File: fileName, Secret: true}
			if g.Share {
				ref.Machine = ""
			}
			exists, err := f.Layout.Exists(ref)
			if err != nil {
				return nil, nil, err
			}
			if exists {
				deployed[file.Path] = ref
			} else {
				unmade = append(unmade, name+"/"+fileName)
			}
		}
	}
	slices.Sort(unmade)
	return deployed, unmade, nil
}
