package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/secrets"
)

// JoinGroup makes a user or machine a member of a group. Every secret of the group
// that the identities open is readable for them at once; the others are told as
// Locked. A new user brings a public key.
func (f *Fleet) JoinGroup(ctx context.Context, group string, m secrets.Member, public string, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		c.message = fmt.Sprintf("feat(vars): add %s to group %s", m, group)
		if public != "" {
			made, err := secrets.AddUserKey(f.Layout, m.Name, public)
			if err != nil {
				return err
			}
			if len(made) > 0 {
				c.files, c.Added = made, append(c.Added, secrets.NormalizeRecipient(public))
			}
		}
		joined, err := secrets.JoinGroup(f.Layout, group, m)
		if err != nil {
			return err
		}
		c.files = append(c.files, joined...)
		after := f.with(c.files)
		keys, err := after.keysOf(m)
		if err != nil {
			return fmt.Errorf("%w: a public key beside the name adds a user", err)
		}
		return c.regroup(ctx, f, after, func(e envelope, wanted []string) error {
			if !overlap(wanted, keys) || len(without(keys, e.readers)) == 0 {
				return nil
			}
			readers := append(slices.Clone(e.readers), without(keys, e.readers)...)
			again, err := secrets.Regrant(ctx, after.Layout, e.ref, readers, f.Identities)
			switch {
			case noKeyAtHand(err):
				c.Locked = append(c.Locked, e.String())
			case err != nil:
				return err
			default:
				c.files, c.Reencrypted = append(c.files, again...), append(c.Reencrypted, e.String())
			}
			return nil
		})
	})
}

// LeaveGroup takes a user or machine out of a group. What they could read only
// as its members is encrypted anew, and told as Rotate.
func (f *Fleet) LeaveGroup(ctx context.Context, group string, m secrets.Member, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		c.message = fmt.Sprintf("feat(vars): remove %s from group %s", m, group)
		left, err := secrets.LeaveGroup(f.Layout, group, m)
		if err != nil {
			return err
		}
		keys, err := f.keysOf(m)
		if err != nil {
			return err
		}
		c.files = left
		after := f.with(c.files)
		var lose []envelope
		err = c.regroup(ctx, f, after, func(e envelope, wanted []string) error {
			if overlap(e.readers, keys) && !overlap(wanted, keys) {
				lose = append(lose, e)
				return nil
			}
			// The group may have been its last member's.
			links, err := after.Layout.Links(e.ref, e.readers)
			c.files = append(c.files, links...)
			return err
		})
		if err != nil {
			return err
		}
		files, err := after.reencrypt(ctx, lose, func(e envelope) []string { return without(e.readers, keys) }, o)
		if err != nil {
			return err
		}
		c.files = append(c.files, files...)
		for _, e := range lose {
			c.Reencrypted = append(c.Reencrypted, e.String())
			c.Rotate = append(c.Rotate, e.rotation())
		}
		return nil
	})
}

// regroup visits every encrypted file with the keys that the layout wants after
// the change.
func (c *keysChange) regroup(ctx context.Context, f, after *Fleet, visit func(e envelope, wanted []string) error) error {
	if _, err := f.clan(); err != nil {
		return errors.New("the layout of this fleet has no groups")
	}
	all, err := c.read(ctx, f)
	if err != nil {
		return err
	}
	for _, e := range all {
		machines, err := f.linkedMachines(e.ref)
		if err != nil {
			return err
		}
		wanted, err := after.Layout.Wanted(e.ref, machines)
		if err != nil && !errors.Is(err, secrets.ErrNoAdmin) {
			return err
		}
		if err := visit(e, wanted); err != nil {
			return err
		}
	}
	return nil
}

// keysOf are the keys of a user or machine.
func (f *Fleet) keysOf(m secrets.Member) ([]string, error) {
	if m.Machine {
		holder, err := f.Layout.Machine(m.Name)
		return holder.Recipients(), err
	}
	users, err := f.Layout.Users()
	for _, user := range users {
		if user.Name == m.Name {
			return user.Recipients(), nil
		}
	}
	if err == nil {
		err = fmt.Errorf("there is no user %s", m.Name)
	}
	return nil, err
}
