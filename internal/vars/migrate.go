package vars

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// MigrateOptions is what [Fleet.Migrate] needs to know.
type MigrateOptions struct {
	// DryRun finds out what would be done and writes nothing.
	DryRun bool
	// Commit makes one git commit of exactly the files that were moved.
	Commit bool
	Limits Limits
	Now    func() time.Time

	step func(string) error // see [repository.Repository.Begin]
}

// Migration is what [Fleet.Migrate] has moved or, in a dry run, would move.
type Migration struct {
	Values      int `json:"values"`
	MachineKeys int `json:"machineKeys"`
	Hashes      int `json:"hashes"`
	// Stay are the encrypted files that the new layout has no place for; they are
	// left where they are.
	Stay []string `json:"stay"`
	// Notes are worth knowing and no failure.
	Notes []string `json:"notes"`
	// Paths are the files written and removed, sorted.
	Paths []string `json:"paths"`
}

// Migrate moves all values and keys into another layout of the same folder. Every
// file keeps its bytes, encrypted ones with all their readers: nothing is
// decrypted, so no key is needed. Before anything is written the new layout is
// asked for each of them. It needs of the Fleet only Root, Layout and Env.
func (f *Fleet) Migrate(ctx context.Context, to secrets.Layout, o MigrateOptions) (*Migration, error) {
	if o.DryRun {
		m, err := f.planMigration(ctx, to)
		if err != nil {
			return nil, err
		}
		return &m.Migration, nil
	}
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	t, err := r.Begin(ctx, o.Limits.withDefaults().Lock, o.step)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	m, err := f.planMigration(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted, so nothing was changed: %w", err)
	}
	message := ""
	if o.Commit {
		message = "chore(vars): move the values into another layout"
	}
	placed, err := t.Apply(m.files, message)
	if !placed {
		return nil, err
	}
	return &m.Migration, err
}

// migration gathers what is to be moved.
type migration struct {
	Migration
	from, to secrets.Layout
	files    []repository.File
}

func (f *Fleet) planMigration(ctx context.Context, to secrets.Layout) (*migration, error) {
	m := &migration{Migration: Migration{Stay: []string{}, Notes: []string{}, Paths: []string{}}, from: f.Layout, to: to}
	refs, err := f.Layout.List()
	if err != nil {
		return nil, err
	}
	others, err := f.Layout.Others()
	if err != nil {
		return nil, err
	}
	if err := m.recovery(); err != nil {
		return nil, err
	}
	// Links are to the recovery key too.
	m.to = to.With(m.files)
	var errs *multierror.Error
	for _, ref := range append(refs, others...) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("interrupted: %w", err)
		}
		if err := m.move(ref); err != nil {
			errs = multierror.Append(errs, err)
		}
	}
	if err := m.hashes(); err != nil {
		return nil, err
	}
	if err := errs.ErrorOrNil(); err != nil {
		return nil, err
	}
	if err := m.prove(append(refs, others...)); err != nil {
		return nil, err
	}
	for _, file := range m.files {
		m.Paths = append(m.Paths, file.Path)
	}
	slices.Sort(m.Paths)
	return m, nil
}

// move takes one value or key over, with the links that say who reads it.
func (m *migration) move(ref secrets.Ref) error {
	path, err := m.to.Path(ref)
	if ref.IsPlain() && err != nil {
		m.Stay = append(m.Stay, ref.String())
		return nil
	}
	if err != nil {
		return err
	}
	data, err := m.from.Read(ref)
	if err != nil {
		return err
	}
	if exists, err := m.to.Exists(ref); err != nil {
		return err
	} else if exists {
		return fmt.Errorf("%s is there already", path)
	}
	placed := []repository.File{{Path: path, Data: data}}
	if ref.Secret {
		recipients, err := secrets.Readers(m.from, ref)
		if err != nil {
			old, _ := m.from.Path(ref)
			return fmt.Errorf("%s: %w", old, err)
		}
		if placed, err = secrets.Place(m.to, ref, data, recipients); err != nil {
			return err
		}
	}
	gone, err := secrets.Remove(m.from, ref)
	if err != nil {
		return err
	}
	m.files = append(append(m.files, placed...), gone...)
	if ref.IsKey() {
		m.MachineKeys++
	} else {
		m.Values++
	}
	return nil
}

// hashes takes the validation hashes of generators over.
func (m *migration) hashes() error {
	generators, err := m.from.Generators()
	if err != nil {
		return err
	}
	for _, g := range generators {
		hash, err := m.from.Hash(g.Machine, g.Generator)
		if err != nil {
			return err
		}
		if hash == "" {
			continue
		}
		old, err := m.from.HashPath(g.Machine, g.Generator)
		if err != nil {
			return err
		}
		path, err := m.to.HashPath(g.Machine, g.Generator)
		if err != nil {
			return err
		}
		m.files = append(m.files, repository.File{Path: path, Data: []byte(hash)}, repository.File{Path: old, Gone: true})
		m.Hashes++
	}
	return nil
}

// recovery takes the recovery key over.
func (m *migration) recovery() error {
	if m.from.RecoveryKeyPath() == m.to.RecoveryKeyPath() {
		return errors.New("the values are in this layout already")
	}
	key, err := m.from.Recovery()
	if err != nil || len(key.Keys) == 0 {
		return err
	}
	data, err := secrets.FormatKeys(key.Keys)
	if err != nil {
		return err
	}
	m.files = append(m.files, repository.File{Path: m.to.RecoveryKeyPath(), Data: data}, repository.File{Path: m.from.RecoveryKeyPath(), Gone: true})
	return nil
}

// prove asks the new layout, as it will be, for everything that the old one has.
func (m *migration) prove(refs []secrets.Ref) error {
	after := m.to.With(m.files)
	for _, ref := range refs {
		before, err := m.from.Read(ref)
		if err != nil {
			return err
		}
		if path, err := m.to.Path(ref); err != nil {
			continue // it stays
		} else if data, err := after.Read(ref); err != nil || !bytes.Equal(before, data) {
			return fmt.Errorf("%s would be lost on the way to %s: this is a mistake of fleet", ref, path)
		}
	}
	for _, list := range []func(secrets.Layout) ([]secrets.Ref, error){secrets.Layout.List, secrets.Layout.Others} {
		left, err := list(m.from.With(m.files))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, ref := range left {
			if !slices.Contains(m.Stay, ref.String()) {
				return fmt.Errorf("%s would be left in the old layout: this is a mistake of fleet", ref)
			}
		}
	}
	// Where the layout notes readers by links, a reader without a name has none.
	readers, err := (&Fleet{Layout: after}).holders()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, h := range readers {
		for _, key := range h.Recipients() {
			known[key] = true
		}
	}
	unknown := map[string]bool{}
	for _, ref := range refs {
		if !ref.Secret {
			continue
		}
		recipients, err := secrets.Readers(m.from, ref)
		if err != nil {
			return err
		}
		for _, key := range recipients {
			if !known[key] && !unknown[key] {
				unknown[key] = true
				m.Notes = append(m.Notes, "the key "+key+" can read values and is nobody's: `fleet vars check` tells which")
			}
		}
	}
	return nil
}
