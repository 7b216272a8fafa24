package vars

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// envelope is an encrypted file of the repository: a secret, or the private key
// of a machine.
type envelope struct {
	ref     secrets.Ref
	path    string
	readers []string
}

// String is how an envelope is called in messages.
func (e envelope) String() string { return e.ref.String() }

// envelopes reads every encrypted file of the repository, also of machines that
// are not evaluated: who reads what is to be changed everywhere or not at all.
// The keys of machines come first: what is made for a machine's old key can be
// read by whoever has seen that. The damaged ones, which nobody can read, are
// errors beside the others.
func (f *Fleet) envelopes(ctx context.Context) (all []envelope, damaged []error, err error) {
	refs, err := f.Layout.List()
	if err != nil {
		return nil, nil, err
	}
	others, err := f.Layout.Others()
	if err != nil {
		return nil, nil, err
	}
	for _, ref := range append(others, refs...) {
		if !ref.Secret {
			continue
		}
		path, err := f.Layout.Path(ref)
		if err != nil {
			return nil, nil, err
		}
		readers, err := secrets.Readers(f.Layout, ref)
		if err != nil {
			damaged = append(damaged, fmt.Errorf("%s: %w", path, err))
			continue
		}
		all = append(all, envelope{ref: ref, path: path, readers: readers})
	}
	return all, damaged, nil
}

// reencrypt encrypts envelopes anew to whom wanted says. It is all or nothing:
// one that does not open is an error that says what was to be done.
func (f *Fleet) reencrypt(ctx context.Context, all []envelope, wanted func(envelope) []string, o ChangeOptions) (files []repository.File, err error) {
	var errs *multierror.Error
	var locked []string
	var lockedErr error
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		again, err := secrets.Revoke(ctx, f.Layout, e.ref, wanted(e), f.Identities, o.Now())
		switch {
		case noKeyAtHand(err):
			locked, lockedErr = append(locked, e.String()), err
		case err != nil:
			errs = multierror.Append(errs, err)
		default:
			files = append(files, again...)
		}
	}
	if len(locked) > 0 {
		errs = multierror.Append(errs, fmt.Errorf("nothing was changed, because %d of the files that have to be encrypted anew cannot be opened with your keys (%s): an administrator who can read them has to run the same command: %w",
			len(locked), abbreviate(locked), lockedErr))
	}
	return files, errs.ErrorOrNil()
}

// without gives the keys that are not among gone.
func without(keys, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return slices.Contains(gone, key) })
}

// overlap tells whether a key is in both lists.
func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(key string) bool { return slices.Contains(b, key) })
}
