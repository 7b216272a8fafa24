package vars

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/secrets"
)

// SetSecrets gives secrets without a generator their values, exactly these bytes,
// and lets who is named read them too, beside those who do. A new one is read by
// whoever makes it. One that exists and differs is replaced only with replace.
func (f *Fleet) SetSecrets(ctx context.Context, given map[string][]byte, who secrets.Linked, replace bool, o ChangeOptions) (*SecretsReport, error) {
	return f.changeSecrets(ctx, o, func(c *plainChange) error {
		if err := c.known(who); err != nil {
			return err
		}
		var errs *multierror.Error
		for _, name := range sorted(given) {
			errs = multierror.Append(errs, secrets.CheckSecretName(name))
		}
		if err := errs.ErrorOrNil(); err != nil {
			return err
		}
		var names, differ []string
		for _, name := range sorted(given) {
			if err := ctx.Err(); err != nil {
				return err
			}
			action, err := c.set(ctx, name, given[name], who)
			if err != nil {
				return err
			}
			if action != SecretKeeps {
				names = append(names, name)
			}
			if action == SecretReplaces {
				differ = append(differ, name)
			}
		}
		if len(differ) > 0 && !replace && !o.DryRun {
			return fmt.Errorf("%d of the secrets exist already and differ, so nothing was changed: %s; --replace replaces them", len(differ), strings.Join(differ, ", "))
		}
		c.message = "feat(vars): set secret " + strings.Join(names, ", ")
		if len(names) > 2 {
			c.message = fmt.Sprintf("feat(vars): set %d secrets\n\n%s\n", len(names), strings.Join(names, "\n"))
		}
		return nil
	})
}

func (c *plainChange) set(ctx context.Context, name string, data []byte, who secrets.Linked) (SecretAction, error) {
	ref := secrets.PlainRef(name)
	gift, err := c.compareGiven(ctx, ref, data)
	if err != nil {
		return "", err
	}
	if gift == GiftKeeps {
		return c.grant(ctx, ref, who)
	}
	links, err := c.clan.Link(ref, who)
	if err != nil {
		return "", err
	}
	after := c.with(links)
	machines, err := after.linkedMachines(ref)
	if err != nil {
		return "", err
	}
	sealed, err := secrets.Seal(ctx, after.Layout, ref, data, machines, c.opts.Now())
	if err != nil {
		return "", err
	}
	action := SecretAdds
	if gift == GiftReplaces {
		action = SecretReplaces
	}
	return action, c.note(ref, action, append(links, sealed...))
}

// GrantSecret lets who is named read a secret without a generator, or the private
// key of a machine. Nobody else's access changes.
func (f *Fleet) GrantSecret(ctx context.Context, name string, who secrets.Linked, o ChangeOptions) (*SecretsReport, error) {
	return f.changeSecrets(ctx, o, func(c *plainChange) error {
		ref, err := c.findSecret(name)
		if err != nil {
			return err
		}
		if err := c.known(who); err != nil {
			return err
		}
		if ref.IsKey() && len(who.Machines) > 0 {
			return fmt.Errorf("%s is read by people only", ref)
		}
		c.message = "feat(vars): let " + strings.Join(who.Names(), ", ") + " read " + ref.String()
		_, err = c.grant(ctx, ref, who)
		return err
	})
}

func (c *plainChange) grant(ctx context.Context, ref secrets.Ref, who secrets.Linked) (SecretAction, error) {
	links, err := c.clan.Link(ref, who)
	if err != nil {
		return "", err
	}
	keys, err := c.clan.KeysOf(who)
	if err != nil {
		return "", err
	}
	readers, err := secrets.Readers(c.Layout, ref)
	if err != nil {
		return "", fmt.Errorf("%s: %w", ref, err)
	}
	files := links
	if lacking := without(keys, readers); len(lacking) > 0 {
		again, err := secrets.Regrant(ctx, c.with(links).Layout, ref, append(lacking, readers...), c.Identities)
		if err != nil {
			return "", err
		}
		files = append(files, again...)
	}
	action := SecretGrants
	if len(files) == 0 {
		action = SecretKeeps
	}
	return action, c.note(ref, action, files)
}

// RevokeSecret takes a secret without a generator, or the private key of a
// machine, from who is named. It is encrypted anew with a new data key, and told
// as Rotate: its value they know. Somebody must be left who can read it.
func (f *Fleet) RevokeSecret(ctx context.Context, name string, who secrets.Linked, o ChangeOptions) (*SecretsReport, error) {
	return f.changeSecrets(ctx, o, func(c *plainChange) error {
		ref, err := c.findSecret(name)
		if err != nil {
			return err
		}
		if err := c.linked(ref, who); err != nil {
			return err
		}
		files, err := c.clan.Unlink(ref, who)
		if err != nil {
			return err
		}
		c.message = "feat(vars): take " + ref.String() + " from " + strings.Join(who.Names(), ", ")
		after := c.with(files)
		wanted, err := after.linkedKeys(ref)
		if err != nil {
			return err
		}
		readers, err := secrets.Readers(c.Layout, ref)
		if err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		keys, err := c.clan.KeysOf(who)
		if err != nil {
			return err
		}
		// Who reads it in another way too, with the same key or in a group, goes on.
		gone := without(keys, wanted)
		if !overlap(readers, gone) {
			links, err := after.Layout.Links(ref, readers)
			if err != nil {
				return err
			}
			return c.note(ref, SecretRevokes, append(files, links...))
		}
		again, err := secrets.Revoke(ctx, after.Layout, ref, without(readers, gone), c.Identities, o.Now())
		if err != nil {
			return err
		}
		c.Rotate = append(c.Rotate, envelope{ref: ref}.rotation())
		return c.note(ref, SecretRevokes, append(files, again...))
	})
}

// linkedKeys are the public keys of all who are linked to a secret, and of the
// recovery key. Without a person among them it is an error.
func (f *Fleet) linkedKeys(ref secrets.Ref) ([]string, error) {
	clan, err := f.clan()
	if err != nil {
		return nil, err
	}
	who, err := clan.LinkedTo(ref)
	if err != nil {
		return nil, err
	}
	groups, err := f.Layout.Groups()
	if err != nil {
		return nil, err
	}
	people := secrets.Linked{Users: slices.Clone(who.Users)}
	for _, group := range groups {
		if slices.Contains(who.Groups, group.Name) {
			people.Users = append(people.Users, group.Users...)
		}
	}
	if keys, err := clan.KeysOf(people); err != nil {
		return nil, err
	} else if len(keys) == 0 {
		return nil, fmt.Errorf("nobody would be left who can read %s: `fleet vars secrets grant` gives it to somebody else first, `fleet vars secrets remove` removes it", ref)
	}
	keys, err := clan.KeysOf(who)
	if err != nil {
		return nil, err
	}
	recovery, err := f.Layout.Recovery()
	return append(keys, recovery.Recipients()...), err
}

// RemoveSecret removes a secret without a generator.
func (f *Fleet) RemoveSecret(ctx context.Context, name string, o ChangeOptions) (*SecretsReport, error) {
	return f.changeSecrets(ctx, o, func(c *plainChange) error {
		ref, err := c.findPlain(name)
		if err != nil {
			return err
		}
		files, err := secrets.Remove(c.Layout, ref)
		if err != nil {
			return err
		}
		c.message = "feat(vars): remove " + ref.String()
		return c.note(ref, SecretRemoves, files)
	})
}

// RenameSecret gives a secret without a generator another name.
func (f *Fleet) RenameSecret(ctx context.Context, from, to string, o ChangeOptions) (*SecretsReport, error) {
	return f.changeSecrets(ctx, o, func(c *plainChange) error {
		ref, err := c.findPlain(from)
		if err != nil {
			return err
		}
		if err := secrets.CheckSecretName(to); err != nil {
			return err
		}
		if exists, err := c.Layout.Exists(secrets.PlainRef(to)); err != nil {
			return err
		} else if exists {
			return fmt.Errorf("there is a secret %s already", to)
		}
		files, err := c.clan.Rename(from, to)
		if err != nil {
			return err
		}
		c.message = "feat(vars): rename " + ref.String() + " to " + to
		if err := c.note(ref, SecretRenames, files); err != nil {
			return err
		}
		change := &c.Secrets[len(c.Secrets)-1]
		change.To, change.Added, change.Removed = to, []string{}, []string{}
		return nil
	})
}
