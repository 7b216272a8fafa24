package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// documents encrypts the sops files of people to whom their rules name. What is
// damaged or has no usable rule, [Fleet.Audit] tells of.
func (x *fixer) documents(ctx context.Context, r *repository.Repository) error {
	docs, err := x.Fleet.documents(ctx, r)
	if err != nil {
		return err
	}
	names := docs.names(x.people)
	for _, d := range docs.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		rule, err := d.rule()
		if err != nil || d.err != nil || d.split(rule) {
			continue
		}
		if len(rule.Recipients())+len(d.doc.Others()) == 0 {
			continue // nobody could read it
		}
		m := names.compare(d.doc.Recipients(), normal(rule.Recipients()))
		mend := Mend{Path: d.path, Add: append([]string{}, m.Lacks...), Remove: append([]string{}, m.Extra...)}
		if len(mend.Add)+len(mend.Remove) == 0 {
			continue
		}
		rotate := "change what is in it with `sops " + d.path + "`"
		var data []byte
		if len(mend.Remove) > 0 && len(d.doc.Others()) == 0 {
			data, err = d.doc.Reencrypt(ctx, rule.Recipients(), x.Identities, x.now)
		} else {
			data, err = d.doc.Rewrap(ctx, rule.Recipients(), x.Identities)
			rotate = "run `sops rotate --in-place " + d.path + "`, because only sops can give its PGP or cloud keys a new data key, and " + rotate
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", mend.Path, err)
		}
		x.add(mend, []repository.File{{Path: mend.Path, Data: data}}, err, rotate)
	}
	return nil
}

// split tells whether the data key is or is to be split between groups of keys,
// which only sops does.
func (d *document) split(rule *secrets.Rule) bool { return d.doc.Grouped() || len(rule.Groups) > 1 }

// names knows whose key is whose also where only a .sops.yaml tells.
func (d *documents) names(people *readers) *readers {
	all := &readers{fleet: people.fleet, machines: people.machines, names: map[string]string{}}
	for _, file := range d.rules {
		if file.err != nil {
			continue
		}
		for _, anchor := range file.rules.Anchors() {
			all.names[anchor.Key] = "&" + anchor.Name + " of " + file.path
		}
	}
	for key, name := range people.names {
		all.names[key] = name
	}
	return all
}

// normal are public keys without what differs between two spellings of one.
func normal(keys []string) []string {
	plain := make([]string, 0, len(keys))
	for _, key := range keys {
		plain = append(plain, secrets.NormalizeRecipient(key))
	}
	slices.Sort(plain)
	return slices.Compact(plain)
}

// unsupported tells of a sops file that only sops can work on.
func unsupported(err error) bool {
	var other *secrets.UnsupportedError
	return errors.As(err, &other)
}
