package vars

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// Value is one value as [Fleet.Get] returns it: exactly its bytes.
type Value struct {
	Secret bool
	Data   []byte
}

// Get returns the value that a machine knows as generator/file.
func (f *Fleet) Get(ctx context.Context, machine, name string) (*Value, error) {
	ref, err := f.Find(machine, name)
	if err != nil {
		return nil, err
	}
	data, err := secrets.Open(ctx, f.Layout, ref, f.Identities)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no value yet: `fleet vars generate %s` makes it: %w", ref, machine, err)
	}
	if err != nil {
		return nil, err
	}
	return &Value{Secret: ref.Secret, Data: data}, nil
}

// Find tells where a value lies that a machine knows as generator/file.
func (f *Fleet) Find(machine, name string) (ref secrets.Ref, err error) {
	details, ok := f.Machines[machine]
	if !ok {
		return ref, fmt.Errorf("there is no machine %s%s", machine, flake.DidYouMean(machine, sorted(f.Inventory.Machines)))
	}
	generator, file, ok := strings.Cut(name, "/")
	if !ok {
		return ref, fmt.Errorf("%q does not name a value: write GENERATOR/FILE%s", name, flake.DidYouMean(name, valueNames(details)))
	}
	def := details.Generators[generator]
	if def == nil {
		return ref, fmt.Errorf("%s has no generator %s%s", machine, generator, flake.DidYouMean(generator, sorted(details.Generators)))
	}
	if def.Files[file] == nil {
		return ref, fmt.Errorf("generator %s of %s has no file %s%s", generator, machine, file, flake.DidYouMean(file, sorted(def.Files)))
	}
	ref = secrets.Ref{Machine: machine, Generator: generator, File: file, Secret: def.Files[file].Secret}
	if def.Share {
		ref.Machine = ""
	}
	return ref, nil
}

// valueNames lists what [Fleet.Get] takes.
func valueNames(d *flake.Details) (names []string) {
	for _, generator := range sorted(d.Generators) {
		for _, file := range sorted(d.Generators[generator].Files) {
			names = append(names, generator+"/"+file)
		}
	}
	return names
}
