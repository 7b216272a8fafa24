package vars

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/secrets"
)

// An export is a folder of plain values: PLACE/GENERATOR/FILE, where PLACE is a
// machine's name or "shared". From the layout of clan it has the form that clan
// gives it: a machine's name comes after "per-machine", and validation hashes lie
// beside the values. Either is read.
const (
	exportedMachines = "per-machine"
	exportedHash     = ".validation-hash"
)

// Exported is one value of an [Export].
type Exported struct {
	ID
	File   string `json:"file"`
	Secret bool   `json:"secret"`
}

// Export is the values of the selected machines, decrypted.
type Export struct {
	Values []Exported `json:"values"`
	// Missing are declared values that do not exist, by name.
	Missing []string `json:"missing"`
	// Outdated are values made from other input than today's, by name.
	Outdated []string `json:"outdated"`

	root   string
	data   Given
	clan   bool
	hashes map[ID]string
}

// Export reads every value of the selected machines. One that cannot be read is
// an error, so that no export has holes that nobody sees.
func (f *Fleet) Export(ctx context.Context) (*Export, error) {
	g, err := NewGraph(f.Machines)
	if err != nil {
		return nil, err
	}
	e := &Export{Values: []Exported{}, Missing: []string{}, Outdated: []string{}, root: f.Root, data: Given{}, hashes: map[ID]string{}}
	if _, err := f.clan(); err == nil {
		e.clan = true
	}
	var errs *multierror.Error
	for _, id := range g.order {
		n := g.nodes[id]
		hash, err := f.Layout.Hash(id.Machine, id.Name)
		if err != nil {
			return nil, err
		}
		if hash != "" {
			e.hashes[id] = hash
		}
		for _, file := range sorted(n.Def.Files) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			ref := n.ref(file)
			data, err := secrets.Open(ctx, f.Layout, ref, f.Identities)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				e.Missing = append(e.Missing, ref.String())
				continue
			case err != nil:
				errs = multierror.Append(errs, err)
				continue
			}
			if n.Def.ValidationHash != "" && hash != n.Def.ValidationHash {
				e.Outdated = append(e.Outdated, ref.String())
			}
			if e.data[id] == nil {
				e.data[id] = map[string][]byte{}
			}
			e.data[id][file] = data
			e.Values = append(e.Values, Exported{ID: id, File: file, Secret: ref.Secret})
		}
	}
	return e, errs.ErrorOrNil()
}

// Write makes the folder, 0700 with files 0600, all at once or not at all. It
// must not exist or be empty, and must lie outside the flake, which git and the
// Nix store copy.
func (e *Export) Write(ctx context.Context, folder string) (err error) {
	if err := e.fits(folder); err != nil {
		return err
	}
	parent := filepath.Dir(folder)
	partial, err := os.MkdirTemp(parent, ".fleet-export-") // 0700
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	for _, id := range sortedIDs(e.data) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted, so nothing was exported: %w", err)
		}
		if err := e.writeGenerator(partial, id); err != nil {
			return err
		}
	}
	// Only an empty one can be removed.
	if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(partial, folder)
}

func (e *Export) writeGenerator(folder string, id ID) error {
	dir := filepath.Join(folder, id.place(), id.Name)
	if e.clan && !id.Shared() {
		dir = filepath.Join(folder, exportedMachines, id.place(), id.Name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, file := range sorted(e.data[id]) {
		if err := writeNew(filepath.Join(dir, file), e.data[id][file]); err != nil {
			return err
		}
	}
	if hash := e.hashes[id]; e.clan && hash != "" {
		return writeNew(filepath.Join(dir, exportedHash), []byte(hash))
	}
	return nil
}

// fits tells whether an export may be written to the folder.
func (e *Export) fits(folder string) error {
	if err := checkOutside(e.root, folder); err != nil {
		return err
	}
	info, err := os.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s exists and is no folder: name a new one", folder)
	}
	entries, err := os.ReadDir(folder)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("the folder %s is not empty: name a new one", folder)
	}
	return err
}

func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// ReadExport reads a folder that [Export.Write] or clan made, or a person in
// their form. Validation hashes are passed over: values that a person brings are
// taken to be what is wanted today.
// It takes regular files only; a file of more than limits.FileBytes is refused.
func ReadExport(ctx context.Context, folder string, limits Limits) (Given, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	limit := limits.withDefaults().FileBytes
	given := Given{}
	var errs *multierror.Error
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		parts := strings.Split(path, "/")
		if len(parts) == 4 && parts[0] == exportedMachines {
			parts = parts[1:]
		}
		if len(parts) == 3 && parts[2] == exportedHash {
			return nil
		}
		if len(parts) != 3 || !d.Type().IsRegular() {
			errs = multierror.Append(errs, fmt.Errorf("%s is no value: files are named MACHINE/GENERATOR/FILE or shared/GENERATOR/FILE", filepath.Join(folder, path)))
			return nil
		}
		id := ID{Machine: parts[0], Name: parts[1]}
		if id.Machine == "shared" {
			id.Machine = ""
		}
		data, err := readLimited(root, path, limit)
		if err != nil {
			errs = multierror.Append(errs, err)
			return nil
		}
		if given[id] == nil {
			given[id] = map[string][]byte{}
		}
		given[id][parts[2]] = data
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := errs.ErrorOrNil(); err != nil {
		return nil, err
	}
	if len(given) == 0 {
		return nil, fmt.Errorf("%s holds no values: files are named MACHINE/GENERATOR/FILE or shared/GENERATOR/FILE", folder)
	}
	return given, nil
}

func readLimited(root *os.Root, path string, limit int64) ([]byte, error) {
	f, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d MiB", path, limit>>20)
	}
	return data, err
}

// Machines are the machines that values are given for; shared tells whether
// there are also values that belong to no single one.
func (g Given) Machines() (machines []string, shared bool) {
	names := map[string]bool{}
	for id := range g {
		if id.Shared() {
			shared = true
		} else {
			names[id.Machine] = true
		}
	}
	return sorted(names), shared
}
