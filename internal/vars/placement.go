package vars

import (
	"bytes"
	"context"
	"slices"

	"github.com/crs58/fleet/internal/secrets"
)

// Placement is what lies of a generator's files where it kept them before its
// share, or the secret of a file, was changed.
type Placement struct {
	// Machine is whose place it is, "" for the shared one.
	Machine string
	// Hash is the validation hash recorded there, in the file HashPath.
	Hash     string
	HashPath string
	// Values are the files that lie there, by name.
	Values map[string]Placed
}

// Placed is a file of a [Placement].
type Placed struct {
	Secret bool
	Path   string
	// Same is equal for files of one name that hold the same value. Where there
	// is nothing to compare with it is 0.
	Same int
	// Unread says why it could not be compared.
	Unread string
}

// elsewhere finds what lies of some files of a generator at other places than its
// own: values of the same name that were shared and are no longer, or
// the reverse, or that were secret and are public, or the reverse. Nobody takes
// over what was never theirs: of shared secrets, a machine that cannot read any.
func (f *Fleet) elsewhere(n *Node, files []string, r *readers) (found []Placement, err error) {
	places := []string{n.Machine, ""}
	if n.Shared() {
		places = append([]string{""}, n.Machines...)
	}
	for _, machine := range places {
		p := Placement{Machine: machine, Values: map[string]Placed{}}
		secret, readable := false, false
		for _, file := range files {
			for _, isSecret := range []bool{true, false} {
				ref := secrets.Ref{Machine: machine, Generator: n.Name, File: file, Secret: isSecret}
				if exists, err := f.Layout.Exists(ref); err != nil {
					return nil, err
				} else if !exists {
					continue
				}
				path, err := f.Layout.Path(ref)
				if err != nil {
					return nil, err
				}
				p.Values[file] = Placed{Secret: isSecret, Path: path}
				if isSecret && n.Def.Files[file].Deploy {
					secret = true
					readable = readable || f.reads(ref, r.machines[n.Machine])
				}
				break
			}
		}
		if len(p.Values) == 0 || machine == "" && !n.Shared() && secret && !readable {
			continue
		}
		if p.Hash, err = f.Layout.Hash(machine, n.Name); err != nil {
			return nil, err
		}
		if p.HashPath, err = f.Layout.HashPath(machine, n.Name); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

// reads tells whether a machine can read a secret.
func (f *Fleet) reads(ref secrets.Ref, machine secrets.Holder) bool {
	recipients, err := secrets.Readers(f.Layout, ref)
	return err == nil && overlap(recipients, machine.Recipients())
}

// compare finds out which values of different machines are the same.
func (f *Fleet) compare(ctx context.Context, n *Node, found []Placement) error {
	distinct := map[string][][]byte{}
	several := len(found) > 1 && n.Shared()
	for _, p := range found {
		if !several || p.Machine == "" {
			continue
		}
		for _, file := range sorted(p.Values) {
			placed := p.Values[file]
			ref := secrets.Ref{Machine: p.Machine, Generator: n.Name, File: file, Secret: placed.Secret}
			value, err := secrets.Open(ctx, f.Layout, ref, f.Identities)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				placed.Unread = err.Error()
			} else {
				placed.Same = slices.IndexFunc(distinct[file], func(other []byte) bool { return bytes.Equal(value, other) })
				if placed.Same < 0 {
					placed.Same = len(distinct[file])
					distinct[file] = append(distinct[file], value)
				}
			}
			p.Values[file] = placed
		}
	}
	return nil
}
