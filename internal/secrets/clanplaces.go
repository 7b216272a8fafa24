package secrets

import (
	"path"
	"slices"
)

// Every store of clan has folders of the same form for its values:
//
//	<root>/per-machine/<m>/<g>/<f>/   <root>/shared/<g>/<f>/
const (
	perMachine = "per-machine"
	shared     = "shared"
)

// clanPlace is the folder of a machine's generators below root; machine "" means
// the shared ones.
func clanPlace(root, machine string) (string, error) {
	if machine == "" {
		return path.Join(root, shared), nil
	}
	return path.Join(root, perMachine, machine), checkName("machine", machine)
}

// places are the folders of generators below root, by machine.
func (t worktree) places(root string) (map[string]string, error) {
	machines, err := t.readDir(path.Join(root, perMachine), "machine")
	if err != nil {
		return nil, err
	}
	places := map[string]string{"": path.Join(root, shared)}
	for _, machine := range machines {
		places[machine] = path.Join(root, perMachine, machine)
	}
	return places, nil
}

// listValues gives the values below root, sorted. is tells of a file in the
// folder of a value whether it holds it.
func (t worktree) listValues(root string, is func(folder, file string) (isValue, secret bool)) ([]Ref, error) {
	places, err := t.places(root)
	if err != nil {
		return nil, err
	}
	generators, err := t.generators(places)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, ref := range generators {
		dir := path.Join(places[ref.Machine], ref.Generator)
		folders, err := t.readDir(dir, "folder")
		if err != nil {
			return nil, err
		}
		for _, folder := range folders {
			files, err := t.readDir(path.Join(dir, folder), "file")
			if err != nil {
				return nil, err
			}
			for _, file := range files {
				if isValue, secret := is(folder, file); isValue {
					refs = append(refs, Ref{Machine: ref.Machine, Generator: ref.Generator, File: folder, Secret: secret})
				}
			}
		}
	}
	slices.SortFunc(refs, compareRefs)
	return refs, nil
}
