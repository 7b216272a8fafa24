package vars

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/secrets"
)

// auditPlain looks at the secrets without a generator as [Fleet.CheckFiles] looks
// at values.
func (f *Fleet) auditPlain(ctx context.Context) (findings []Finding, err error) {
	people, err := f.plainReaders()
	if err != nil {
		return nil, err
	}
	refs, err := f.plainRefs()
	if err != nil {
		return nil, err
	}
	owners, err := f.owners()
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		keys, err := secrets.Readers(f.Layout, ref)
		if err == nil && !slices.ContainsFunc(keys, func(key string) bool { return owners[key] != nil }) {
			findings = append(findings, Finding{
				Machines: []string{}, Value: ref.String(), Problem: "nobody of this fleet can read it",
				Mend: "set it again with `fleet vars secrets set " + ref.File + "`, or run `fleet vars secrets remove " + ref.File + "`",
			})
			continue
		}
		findings = append(findings, f.checkFile(ctx, ref, people)...)
	}
	return findings, nil
}

// plain mends who reads the secrets without a generator: those whom their links
// name.
func (x *fixer) plain(ctx context.Context) error {
	refs, err := x.plainRefs()
	if err != nil {
		return err
	}
	for _, ref := range refs {
		machines, err := x.linkedMachines(ref)
		if err != nil {
			return err
		}
		if err := x.mend(ctx, Mend{}, ref, func([]string) []secrets.Holder { return machines }); errors.Is(err, secrets.ErrNoAdmin) {
			return err
		} else if err != nil {
			x.errs = multierror.Append(x.errs, err)
		}
	}
	return nil
}

// plainRefs are the secrets without a generator, if the layout has them.
func (f *Fleet) plainRefs() ([]secrets.Ref, error) {
	others, err := f.Layout.Others()
	return slices.DeleteFunc(others, func(ref secrets.Ref) bool { return !ref.IsPlain() }), err
}

// plainReaders also knows the machines that are not in the inventory: a link can
// be to any that has a key.
func (f *Fleet) plainReaders() (*readers, error) {
	people, err := f.readers()
	if err != nil {
		return nil, err
	}
	all, err := f.holders()
	for _, h := range all {
		for _, key := range h.Recipients() {
			if _, known := people.names[key]; !known {
				people.names[key] = h.String()
			}
		}
	}
	return people, err
}
