package vars

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// keyStep is what a change of keys means where a .sops.yaml or a sops file that
// is no value has one of the keys. What has none of them is left alone: who is
// to read those files, their owners say.
type keyStep struct {
	// old are the keys that are looked for.
	old []string
	// rules makes the change in a .sops.yaml. It gives also the rules that cannot
	// do without a key that goes.
	rules func(*secrets.Rules) (*secrets.Rules, []secrets.Rule, error)
	// readers makes it of the readers of a file.
	readers func([]string) []string
	// lose says that somebody is not to read the file any more, so that it gets a
	// new data key; seen, that they know what is in it.
	lose, seen bool
	// locked tells of a file that does not open. With an error nothing is changed.
	locked func(path string, err error) error
}

// admitStep lets another key of a user read what one of theirs reads.
func (c *keysChange) admitStep(beside []string, public string) keyStep {
	return keyStep{
		old: beside,
		rules: func(r *secrets.Rules) (_ *secrets.Rules, _ []secrets.Rule, err error) {
			for _, key := range beside {
				if r, err = r.AddBeside(key, public); err != nil {
					return nil, nil, err
				}
			}
			return r, nil, nil
		},
		readers: func(keys []string) []string { return append(slices.Clone(keys), public) },
		locked: func(path string, _ error) error {
			c.Locked = append(c.Locked, path)
			return nil
		},
	}
}

// expelStep takes keys out. Whoever does that need not be able to open what was
// somebody else's own.
func (c *keysChange) expelStep(gone []string) keyStep {
	return keyStep{
		old: gone,
		rules: func(r *secrets.Rules) (_ *secrets.Rules, kept []secrets.Rule, err error) {
			for _, key := range gone {
				var needing []secrets.Rule
				if r, needing, err = r.Remove(key); err != nil {
					return nil, nil, err
				}
				kept = append(kept, needing...)
			}
			return r, kept, nil
		},
		readers: func(keys []string) []string { return without(keys, gone) },
		lose:    true,
		seen:    true,
		locked: func(path string, _ error) error {
			c.Damaged = append(c.Damaged, path+": it cannot be opened with your keys: whoever can read it has to run `fleet vars fix`")
			return nil
		},
	}
}

// rotateStep puts a machine's new key in the place of its old ones. It is all or
// nothing: the machine loses the old key.
func (c *keysChange) rotateStep(old []string, public string) keyStep {
	return keyStep{
		old: old,
		rules: func(r *secrets.Rules) (_ *secrets.Rules, _ []secrets.Rule, err error) {
			for _, key := range old {
				if !r.Has(public) {
					r, err = r.Replace(key, public)
				} else {
					r, _, err = r.Remove(key)
				}
				if err != nil {
					return nil, nil, err
				}
			}
			return r, nil, nil
		},
		readers: func(keys []string) []string { return append(without(keys, old), public) },
		lose:    true,
		locked: func(path string, err error) error {
			return fmt.Errorf("nothing was changed, because %s is to be encrypted anew and cannot be opened with your keys: somebody who can read it has to run the same command: %w", path, err)
		},
	}
}

// documents adds to the change what it means for the sops files of people and
// for what says who reads them.
func (c *keysChange) documents(ctx context.Context, f *Fleet, step keyStep, o ChangeOptions) error {
	if len(step.old) == 0 {
		return nil
	}
	docs, err := f.documents(ctx, c.repo)
	if err != nil {
		return err
	}
	for _, file := range docs.rules {
		if err := c.changeRules(file, step); err != nil {
			return err
		}
	}
	for _, d := range docs.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.err != nil || !overlap(d.doc.Recipients(), step.old) {
			continue
		}
		if err := c.changeDocument(ctx, f, &d, step, o); err != nil {
			return err
		}
	}
	return nil
}

// changeRules edits a .sops.yaml, if the keys stand there. From here on the file
// has the rules as they will be.
func (c *keysChange) changeRules(file *rulesFile, step keyStep) error {
	if file.err != nil {
		if slices.ContainsFunc(step.old, func(key string) bool { return bytes.Contains(file.data, []byte(key)) }) {
			return fmt.Errorf("nothing was changed, because the key stands in %s, and that cannot be used: %w", file.path, file.err)
		}
		return nil
	}
	after, kept, err := step.rules(file.rules)
	if err != nil {
		return fmt.Errorf("nothing was changed, because the key stands in %s: %w", file.path, err)
	}
	for _, rule := range kept {
		c.Damaged = append(c.Damaged, fmt.Sprintf("%s: the rule in line %d has no other key: name one there, then run `fleet vars fix`", file.path, rule.Line))
	}
	if after != file.rules {
		file.rules = after
		c.files = append(c.files, repository.File{Path: file.path, Data: after.Bytes()})
	}
	return nil
}

func (c *keysChange) changeDocument(ctx context.Context, f *Fleet, d *document, step keyStep, o ChangeOptions) error {
	leave := func(why string) error {
		c.Damaged = append(c.Damaged, d.path+": "+why)
		return nil
	}
	readers := step.readers(d.doc.Recipients())
	rule, _ := d.rule()
	switch others := d.doc.Others(); {
	case secrets.SameRecipients(readers, d.doc.Recipients()):
		return nil
	case rule != nil && step.lose && overlap(normal(rule.Recipients()), step.old):
		return nil // its rule was kept, and told of
	case rule != nil && !step.lose && !slices.Contains(normal(rule.Recipients()), readers[len(readers)-1]):
		return nil // its rule wants it otherwise
	case len(readers)+len(others) == 0:
		return leave("nobody else can read it, so it stays as it is")
	case d.doc.Grouped():
		return leave("it has several key groups: run `sops updatekeys " + d.path + "`")
	case step.lose && len(others) == 0:
		data, err := d.doc.Reencrypt(ctx, readers, f.Identities, o.Now())
		return c.placeDocument(d, data, err, step)
	}
	data, err := d.doc.Rewrap(ctx, readers, f.Identities)
	if err == nil && step.lose {
		c.Rotate = append(c.Rotate, Seen{Value: "the data key of " + d.path, Command: "sops rotate --in-place " + d.path})
	}
	return c.placeDocument(d, data, err, step)
}

// placeDocument takes a file that was encrypted anew into the change.
func (c *keysChange) placeDocument(d *document, data []byte, err error, step keyStep) error {
	switch {
	case noKeyAtHand(err):
		return step.locked(d.path, err)
	case errors.Is(err, secrets.ErrMACMismatch):
		c.Damaged = append(c.Damaged, d.path+": "+err.Error())
		return nil
	case err != nil:
		return fmt.Errorf("nothing was changed: %s: %w", d.path, err)
	}
	c.files = append(c.files, repository.File{Path: d.path, Data: data})
	c.Reencrypted = append(c.Reencrypted, d.path)
	if step.seen {
		c.Rotate = append(c.Rotate, Seen{Value: d.path, Command: "sops " + d.path})
	}
	return nil
}
