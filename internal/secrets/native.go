package secrets

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
)

// Native is the layout of a repository made by `fleet init`:
//
//	sops/machines/<m>/secrets/<g>/<f>   sops/machines/<m>/facts/<g>/<f>
//	sops/shared/secrets/<g>/<f>         sops/shared/facts/<g>/<f>
//	sops/{machines,users}/<n>/key.json  sops/recovery/key.json
//	sops/keys/<m>                       the machine's private key, for the administrators
//	…/facts/<g>/.validation-hash
//
// It can be used by several goroutines at once.
type Native struct {
	people
}

var _ Layout = (*Native)(nil)

const (
	sharedDir   = "sops/shared"
	keysDir     = "sops/keys"
	recoveryKey = "sops/recovery/key.json"
	secretsName = "secrets"
	factsName   = "facts"
	hashName    = ".validation-hash"
)

// OpenNative opens the repository at dir, which must exist; sops/ need not.
func OpenNative(dir string) (*Native, error) {
	t, err := openWorktree(dir)
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	return &Native{people{t}}, nil
}

// With is the layout as it will be once the files are written.
func (n *Native) With(files []repository.File) Layout { return &Native{people{n.with(files)}} }

// Path is where the value lies, relative to the repository.
func (n *Native) Path(ref Ref) (string, error) {
	switch {
	case ref.IsKey():
		if err := checkName("machine", ref.Machine); err != nil {
			return "", err
		}
		return path.Join(keysDir, ref.Machine), nil
	case ref.IsPlain():
		return "", &NameError{Kind: "generator", Reason: "secrets without a generator are no part of this layout"}
	}
	if err := checkName("file", ref.File); err != nil {
		return "", err
	}
	dir, err := generatorDir(ref.Machine, ref.Generator, ref.Secret)
	if err != nil {
		return "", err
	}
	return path.Join(dir, ref.File), nil
}

// HashPath is where the validation hash of a generator lies.
func (n *Native) HashPath(machine, generator string) (string, error) {
	dir, err := generatorDir(machine, generator, false)
	if err != nil {
		return "", err
	}
	return path.Join(dir, hashName), nil
}

func generatorDir(machine, generator string, secret bool) (string, error) {
	if err := checkName("generator", generator); err != nil {
		return "", err
	}
	place := sharedDir
	if machine != "" {
		if err := checkName("machine", machine); err != nil {
			return "", err
		}
		place = path.Join(machinesDir, machine)
	}
	if secret {
		return path.Join(place, secretsName, generator), nil
	}
	return path.Join(place, factsName, generator), nil
}

// Exists tells whether the value is there, as a regular file.
func (n *Native) Exists(ref Ref) (bool, error) {
	file, err := n.Path(ref)
	if err != nil {
		return false, err
	}
	return n.isFile(file)
}

// Read gives the file of the value.
func (n *Native) Read(ref Ref) ([]byte, error) {
	file, err := n.Path(ref)
	if err != nil {
		return nil, err
	}
	return n.readFile(file)
}

// Hash reads the validation hash of a generator; "" if there is none.
func (n *Native) Hash(machine, generator string) (string, error) {
	file, err := n.HashPath(machine, generator)
	if err != nil {
		return "", err
	}
	return n.readHash(file)
}

// List gives every value on disk, sorted. What could not be a value because of
// its name or kind is left out.
func (n *Native) List() ([]Ref, error) {
	refs, err := n.listPlace(sharedDir, "")
	if err != nil {
		return nil, err
	}
	machines, err := n.readDir(machinesDir, "machine")
	if err != nil {
		return nil, err
	}
	for _, machine := range machines {
		own, err := n.listPlace(path.Join(machinesDir, machine), machine)
		if err != nil {
			return nil, err
		}
		refs = append(refs, own...)
	}
	slices.SortFunc(refs, compareRefs)
	return refs, nil
}

// Generators gives every generator that has a folder for public values.
func (n *Native) Generators() (refs []Ref, err error) {
	places := map[string]string{"": path.Join(sharedDir, factsName)}
	machines, err := n.readDir(machinesDir, "machine")
	if err != nil {
		return nil, err
	}
	for _, machine := range machines {
		places[machine] = path.Join(machinesDir, machine, factsName)
	}
	return n.generators(places)
}

func (n *Native) listPlace(place, machine string) ([]Ref, error) {
	var refs []Ref
	for _, kind := range []string{factsName, secretsName} {
		generators, err := n.readDir(path.Join(place, kind), "generator")
		if err != nil {
			return nil, err
		}
		for _, generator := range generators {
			files, err := n.readDir(path.Join(place, kind, generator), "file")
			if err != nil {
				return nil, err
			}
			for _, file := range files {
				refs = append(refs, Ref{Machine: machine, Generator: generator, File: file, Secret: kind == secretsName})
			}
		}
	}
	return refs, nil
}

func compareRefs(a, b Ref) int {
	return cmp.Or(
		strings.Compare(a.Machine, b.Machine),
		strings.Compare(a.Generator, b.Generator),
		strings.Compare(a.File, b.File),
	)
}
