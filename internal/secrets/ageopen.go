package secrets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// openedKeys are the private keys of machines that were decrypted: one stands
// before all secrets of its machine, and a token may want a touch for it.
type openedKeys struct {
	lock  sync.Mutex
	known map[sealedKey]openedKey
}

type sealedKey struct {
	ids  *Identities
	file string // its content
}

type openedKey struct {
	plain []byte
	err   error
}

// open decrypts the file of a private key, once.
func (k *openedKeys) open(ctx context.Context, file []byte, ids *Identities) ([]byte, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	sealed := sealedKey{ids, string(file)}
	if key, ok := k.known[sealed]; ok {
		return slices.Clone(key.plain), key.err
	}
	parsed, err := parseAge(file)
	if err != nil {
		return nil, err
	}
	plain, err := parsed.open(ctx, ids)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if k.known == nil {
		k.known = map[sealedKey]openedKey{}
	}
	k.known[sealed] = openedKey{plain, err}
	return slices.Clone(plain), err
}

// open decrypts a secret: with the key of a machine that reads it and that the
// identities open, otherwise with them directly.
func (a *Age) open(ctx context.Context, ref Ref, ids *Identities) ([]byte, error) {
	data, err := a.Read(ref)
	if err != nil {
		return nil, err
	}
	if err := ids.Require(); err != nil {
		return nil, err
	}
	readers, err := a.readers(ref)
	if note := (*NoteError)(nil); err != nil && !errors.As(err, &note) {
		return nil, err
	}
	if ref.IsKey() {
		plain, err := a.keys.open(ctx, data, ids)
		return plain, a.explain(err, ids, readers, nil)
	}
	file, err := parseAge(data)
	if err != nil {
		return nil, err
	}
	var failures []error
	// Whom the note names need not go through a machine.
	direct := overlap(readers, ids.Recipients())
	if direct {
		plain, err := file.open(ctx, ids)
		if !noMatch(err) {
			return plain, err
		}
		failures = append(failures, err)
	}
	machines, err := a.mayRead(ref, readers)
	if err != nil {
		return nil, err
	}
	for _, machine := range machines {
		keys, err := a.machineKeys(ctx, machine, ids)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("the key of machine %s: %w", machine, err))
			continue
		}
		reads := false
		for _, key := range keys {
			plain, err := file.open(ctx, key)
			if !noMatch(err) {
				return plain, err
			}
			reads = reads || overlap(readers, key.Recipients())
		}
		if reads {
			return nil, fmt.Errorf("it cannot be opened with the key of machine %s, which is to read it: restore both from one commit", machine)
		}
	}
	if direct {
		return nil, a.explain(&NoMatchError{}, ids, readers, failures)
	}
	plain, err := file.open(ctx, ids)
	return plain, a.explain(err, ids, readers, failures)
}

func noMatch(err error) bool {
	mismatch := (*NoMatchError)(nil)
	return errors.As(err, &mismatch)
}

// explain tells in a [NoMatchError] who could read the secret, and why keys on
// the way to it did not open.
func (a *Age) explain(err error, ids *Identities, readers []string, failures []error) error {
	mismatch := (*NoMatchError)(nil)
	if !errors.As(err, &mismatch) {
		return err
	}
	causes := slices.Clone(mismatch.Causes)
	for _, failure := range failures {
		if errors.As(failure, &mismatch) {
			causes = append(causes, mismatch.Causes...)
		} else {
			causes = append(causes, failure)
		}
	}
	return &NoMatchError{Recipients: readers, Own: ids.Recipients(), Causes: causes}
}

// mayRead are the machines whose keys may open a secret, the likeliest first.
func (a *Age) mayRead(ref Ref, readers []string) ([]string, error) {
	if ref.Machine != "" {
		return []string{ref.Machine}, nil
	}
	machines, err := a.Machines()
	if err != nil {
		return nil, err
	}
	var first, rest []string
	for _, machine := range machines {
		if holder, err := a.Machine(machine); err == nil && overlap(readers, holder.Recipients()) {
			first = append(first, machine)
		} else {
			rest = append(rest, machine)
		}
	}
	return append(first, rest...), nil
}

// machineKeys are the private keys of a machine: the one that it has, and where
// another is about to be written the one before.
func (a *Age) machineKeys(ctx context.Context, machine string, ids *Identities) (keys []*Identities, err error) {
	file, err := a.Path(KeyRef(machine))
	if err != nil {
		return nil, err
	}
	trees := []worktree{a.worktree}
	if _, changes := a.pending[file]; changes {
		trees = append(trees, worktree{root: a.root})
	}
	for _, tree := range trees {
		sealed, err := tree.readFile(file)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		plain, err := a.keys.open(ctx, sealed, ids)
		if err != nil {
			return nil, err
		}
		key, err := ParseIdentities(file, plain)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
