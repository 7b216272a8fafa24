package vars

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// KeysReport says what was done, or with DryRun what would be.
type KeysReport struct {
	// Recovered says what an interrupted run had left.
	Recovered string `json:"recovered,omitempty"`
	// Added and Removed are public keys.
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	// Reencrypted are the values and machine keys whose readers have changed, and
	// the paths of sops files that are neither.
	Reencrypted []string `json:"reencrypted"`
	// Locked are those that were to be readable with an added key and could not
	// be opened. They are unchanged.
	Locked []string `json:"locked"`
	// Rotate is what the holders of removed keys have seen, in the order in which
	// it is to be made anew: the keys of machines first.
	Rotate []Seen `json:"rotate"`
	// Damaged says which files were left alone, and why: nobody can read them, or
	// they cannot do without a key that was removed.
	Damaged []string `json:"damaged"`
	// Paths are the files written or removed, sorted.
	Paths []string `json:"paths"`
}

// Seen is a value or machine key that somebody knows who should not.
type Seen struct {
	Value string `json:"value"`
	// Command makes a new one.
	Command string `json:"command"`
}

// keysChange is what a change of keys comes down to.
type keysChange struct {
	KeysReport
	change
}

// changeKeys makes and applies a change under the lock, in one transaction.
func (f *Fleet) changeKeys(ctx context.Context, o ChangeOptions, plan func(*keysChange) error) (*KeysReport, error) {
	c := &keysChange{KeysReport: KeysReport{
		Added: []string{}, Removed: []string{}, Reencrypted: []string{}, Locked: []string{},
		Rotate: []Seen{}, Damaged: []string{},
	}}
	placed, err := f.apply(ctx, o, &c.change, func() error { return plan(c) })
	if !placed {
		return nil, err
	}
	c.Recovered, c.Paths = c.recovered, c.paths()
	return &c.KeysReport, err
}

// read reads every encrypted file and notes the damaged ones.
func (c *keysChange) read(ctx context.Context, f *Fleet) ([]envelope, error) {
	all, damaged, err := f.envelopes(ctx)
	for _, err := range damaged {
		c.Damaged = append(c.Damaged, err.Error())
	}
	return all, err
}

// AddKey makes the holder of a public key an administrator, or gives one
// another key. Every secret and machine key that the identities open is readable
// with it at once; the others are told as Locked. Where users need not read
// everything, another key of one reads what the others do.
func (f *Fleet) AddKey(ctx context.Context, user, public string, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		files, err := secrets.AddUserKey(f.Layout, user, public)
		if err != nil {
			return err
		}
		users, err := f.Layout.Users()
		if err != nil {
			return err
		}
		public := secrets.NormalizeRecipient(public)
		i := slices.IndexFunc(users, func(holder secrets.Holder) bool { return holder.Name == user })
		var beside []string
		if i >= 0 {
			beside = without(users[i].Recipients(), []string{public})
		}
		reads := everything
		if _, err := f.clan(); err == nil && len(beside) > 0 {
			reads = func(e envelope) bool { return overlap(e.readers, beside) }
		}
		c.message = "feat(vars): add administrator " + user
		if err := c.admit(ctx, f, "administrator "+user, public, files, reads); err != nil || i < 0 {
			return err
		}
		return c.documents(ctx, f, c.admitStep(beside, public), o)
	})
}

// AddRecoveryKey makes a public key the recovery key, which reads everything
// and belongs to nobody.
func (f *Fleet) AddRecoveryKey(ctx context.Context, public string, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error { return c.setRecovery(ctx, f, public) })
}

// NewRecoveryKey makes a recovery key. Its private part is given to keep, once
// and before anything is written, and nowhere else.
func (f *Fleet) NewRecoveryKey(ctx context.Context, keep func(public string, private []byte) error, o ChangeOptions) (*KeysReport, error) {
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		return nil, err
	}
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		c.keep = func() error { return keep(public, private) }
		return c.setRecovery(ctx, f, public)
	})
}

func (c *keysChange) setRecovery(ctx context.Context, f *Fleet, public string) error {
	files, err := secrets.SetRecoveryKey(f.Layout, public)
	if err != nil {
		return err
	}
	c.message = "feat(vars): set the recovery key"
	return c.admit(ctx, f, "the recovery key", public, files, everything)
}

func everything(envelope) bool { return true }

// admit lets a key read what it is to read. It only ever adds a reader.
func (c *keysChange) admit(ctx context.Context, f *Fleet, who, public string, files []repository.File, reads func(envelope) bool) error {
	public = secrets.NormalizeRecipient(public)
	owners, err := f.owners()
	if err != nil {
		return err
	}
	if others := without(owners[public], []string{who}); len(others) > 0 {
		return fmt.Errorf("this is already the key of %s: each needs one of its own", others[0])
	}
	all, err := c.read(ctx, f)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		c.files, c.Added = files, append(c.Added, public)
	}
	after := f.with(files)
	for _, e := range all {
		if slices.Contains(e.readers, public) || !reads(e) {
			continue
		}
		readers := append(slices.Clone(e.readers), public)
		again, err := secrets.Regrant(ctx, after.Layout, e.ref, readers, f.Identities)
		switch {
		case noKeyAtHand(err):
			c.Locked = append(c.Locked, e.String())
		case errors.Is(err, secrets.ErrMACMismatch):
			c.Damaged = append(c.Damaged, err.Error())
		case err != nil:
			return err
		default:
			c.files, c.Reencrypted = append(c.files, again...), append(c.Reencrypted, e.String())
		}
	}
	return nil
}

// RemoveKey takes a key from an administrator, or all of them and him if public
// is empty. What he could read is encrypted anew; what he has seen is told as
// Rotate. The last administrator and the own only way in are not removed.
func (f *Fleet) RemoveKey(ctx context.Context, user, public string, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		files, lost, err := secrets.RemoveUserKey(f.Layout, user, public)
		if err != nil {
			return err
		}
		users, err := f.Layout.Users()
		if err != nil {
			return err
		}
		whole := files[0].Gone
		if whole && len(users) == 1 {
			return fmt.Errorf("%s is the last administrator: add another with `fleet vars keys add` first", user)
		}
		c.message = "feat(vars): remove administrator " + user
		if !whole {
			c.message = "feat(vars): remove a key of administrator " + user
		}
		return c.expel(ctx, f, "administrator "+user, files, lost, o)
	})
}

// RemoveRecoveryKey takes the recovery key away, as [Fleet.RemoveKey] does.
func (f *Fleet) RemoveRecoveryKey(ctx context.Context, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		recovery, err := f.Layout.Recovery()
		if err != nil {
			return err
		}
		if len(recovery.Keys) == 0 {
			return errors.New("there is no recovery key")
		}
		c.message = "feat(vars): remove the recovery key"
		return c.expel(ctx, f, recovery.Name, []repository.File{{Path: f.Layout.RecoveryKeyPath(), Gone: true}}, recovery.Recipients(), o)
	})
}

// expel takes keys away from who.
func (c *keysChange) expel(ctx context.Context, f *Fleet, who string, files []repository.File, lost []string, o ChangeOptions) error {
	owners, err := f.owners()
	if err != nil {
		return err
	}
	// A key that is somebody else's too goes on reading for them.
	gone := slices.DeleteFunc(slices.Clone(lost), func(key string) bool { return len(without(owners[key], []string{who})) > 0 })
	admins, err := f.Layout.AdminRecipients()
	if err != nil {
		return err
	}
	left := without(admins, gone)
	own := f.Identities.Recipients()
	if len(left) == 0 || overlap(own, admins) && !overlap(own, left) {
		return fmt.Errorf("without this key of %s you could read nothing any more: add another of yours with `fleet vars keys add`, or let another administrator do this", who)
	}
	all, err := c.read(ctx, f)
	if err != nil {
		return err
	}
	after := f.with(files)
	c.files, c.Removed = files, append(c.Removed, lost...)
	var lose []envelope
	for _, e := range all {
		if overlap(e.readers, gone) {
			lose = append(lose, e)
			continue
		}
		// It may be linked to one of two who have the same key.
		links, err := after.Layout.Links(e.ref, e.readers)
		if err != nil {
			return err
		}
		c.files = append(c.files, links...)
	}
	all = lose
	again, err := after.reencrypt(ctx, all, func(e envelope) []string {
		if rest := without(e.readers, gone); len(rest) > 0 {
			return rest
		}
		return left
	}, o)
	if err != nil {
		return err
	}
	c.files = append(c.files, again...)
	for _, e := range all {
		c.Reencrypted = append(c.Reencrypted, e.String())
		c.Rotate = append(c.Rotate, e.rotation())
	}
	return c.documents(ctx, f, c.expelStep(gone), o)
}

// rotation says how a new value is made.
func (e envelope) rotation() Seen {
	command := "fleet vars generate " + e.ref.Machine + " --regenerate " + e.ref.Generator
	switch {
	case e.ref.IsKey():
		command = "fleet vars keys rotate " + e.ref.Machine
	case e.ref.IsPlain():
		command = "fleet vars secrets set " + e.ref.File
	case e.ref.Machine == "":
		command = "fleet vars generate --all --regenerate " + e.ref.Generator
	}
	return Seen{Value: e.String(), Command: command}
}

// RotateMachineKey makes a new key for a machine and encrypts anew what the
// machine reads, to it and no longer to the old one. The machine is not
// contacted: its next update puts the new key in place.
func (f *Fleet) RotateMachineKey(ctx context.Context, machine string, o ChangeOptions) (*KeysReport, error) {
	return f.changeKeys(ctx, o, func(c *keysChange) error {
		before, after, made, err := secrets.NewMachineKey(ctx, f.Layout, machine, o.Now())
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("machine %s brought its key itself, so only you can make it another: put that on the machine and its public key into the machine's key.json", machine)
		}
		if err != nil {
			return err
		}
		owners, err := f.owners()
		if err != nil {
			return err
		}
		old := before.Recipients()
		all, err := c.read(ctx, f)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(e envelope) bool { return e.ref.IsKey() || !overlap(e.readers, old) })
		files, err := f.with(made).reencrypt(ctx, all, func(e envelope) []string {
			gone := old
			if e.ref.Machine != machine { // a key that another machine has too
				gone = slices.DeleteFunc(slices.Clone(old), func(key string) bool { return len(owners[key]) > 1 })
			}
			return append(without(e.readers, gone), after.Recipients()...)
		}, o)
		if err != nil {
			return err
		}
		c.files = append(made, files...)
		c.message = "feat(vars): rotate the key of machine " + machine
		c.Removed = append(c.Removed, old...)
		if !o.DryRun { // the key of a dry run is never seen again
			c.Added = append(c.Added, after.Recipients()...)
		}
		for _, e := range all {
			c.Reencrypted = append(c.Reencrypted, e.String())
		}
		gone := slices.DeleteFunc(slices.Clone(old), func(key string) bool { return len(owners[key]) > 1 })
		return c.documents(ctx, f, c.rotateStep(gone, after.Recipients()[0]), o)
	})
}
