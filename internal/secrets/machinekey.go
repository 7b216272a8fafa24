package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/repository"
)

// EnsureMachineKey gives the public key of a machine and, if it has none yet,
// makes one: the files are then its key.json and its private key, encrypted to
// the administrators. A machine with a key.json and no private key brought its
// key itself; that is fine, and nothing is made.
func EnsureMachineKey(ctx context.Context, l Layout, machine string, now time.Time) (Holder, []repository.File, error) {
	holder, err := l.Machine(machine)
	if err == nil || !errors.Is(err, ErrNoMachineKey) {
		return holder, nil, err
	}
	keyPath, privatePath, err := keyPaths(l, machine)
	if err != nil {
		return Holder{}, nil, err
	}
	if _, err := l.Read(KeyRef(machine)); err == nil {
		return Holder{}, nil, fmt.Errorf("machine %s has a private key in %s but no %s: restore that from git, or delete the private key to make a new pair",
			machine, privatePath, keyPath)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Holder{}, nil, err
	}
	return newMachineKey(ctx, l, machine, now)
}

// NewMachineKey makes another key for a machine that has one: the files are its
// key.json and its private key, encrypted to the administrators. Its secrets are
// not yet readable with it: [Reencrypt] them. A machine that brought its key
// itself gives [fs.ErrNotExist].
func NewMachineKey(ctx context.Context, l Layout, machine string, now time.Time) (before, after Holder, files []repository.File, err error) {
	if before, err = l.Machine(machine); err != nil {
		return before, after, nil, err
	}
	if _, err = l.Read(KeyRef(machine)); err != nil {
		return before, after, nil, err
	}
	after, files, err = newMachineKey(ctx, l, machine, now)
	return before, after, files, err
}

func newMachineKey(ctx context.Context, l Layout, machine string, now time.Time) (Holder, []repository.File, error) {
	keyPath, err := l.MachineKeyPath(machine)
	if err != nil {
		return Holder{}, nil, err
	}
	public, private, err := NewAgeKey()
	if err != nil {
		return Holder{}, nil, err
	}
	holder := Holder{Name: machine, Keys: []Key{{PublicKey: public, Type: "age"}}}
	announced, err := FormatKeys(holder.Keys)
	if err != nil {
		return Holder{}, nil, err
	}
	if s, ok := l.(sealer); ok {
		announced, private = s.pair(public, private, now)
	}
	sealed, err := Seal(ctx, l, KeyRef(machine), private, nil, now)
	if err != nil {
		return Holder{}, nil, fmt.Errorf("make a key for machine %s: %w", machine, err)
	}
	return holder, append([]repository.File{{Path: keyPath, Data: announced}}, sealed...), nil
}

// keyPaths are the files with the two halves of a machine's key.
func keyPaths(l Layout, machine string) (public, private string, err error) {
	if public, err = l.MachineKeyPath(machine); err == nil {
		private, err = l.Path(KeyRef(machine))
	}
	return public, private, err
}

// MachinePrivateKey decrypts the private key of a machine (the line
// AGE-SECRET-KEY-1… without a newline; in the layout [Age] with the comments of
// age-keygen above it) and checks that it belongs to the machine's public key:
// [KeyMismatchError]. A machine that brought its own key
// gives [fs.ErrNotExist].
func MachinePrivateKey(ctx context.Context, l Layout, machine string, ids *Identities) ([]byte, error) {
	holder, err := l.Machine(machine)
	if err != nil {
		return nil, err
	}
	keyPath, privatePath, err := keyPaths(l, machine)
	if err != nil {
		return nil, err
	}
	plain, err := Open(ctx, l, KeyRef(machine), ids)
	if err != nil {
		return nil, err
	}
	found, err := ParseIdentities(privatePath, plain)
	if err != nil {
		return nil, err
	}
	own := found.Recipients()
	if len(own) != 1 || !slices.Equal(own, holder.Recipients()) {
		return nil, &KeyMismatchError{
			Machine: machine, KeyFile: keyPath, Announced: strings.Join(holder.Recipients(), ", "),
			PrivateKey: privatePath, Actual: strings.Join(own, ", "),
		}
	}
	return bytes.TrimSpace(plain), nil
}
