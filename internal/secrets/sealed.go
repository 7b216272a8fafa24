package secrets

import (
	"context"
	"fmt"
	"time"

	"github.com/crs58/fleet/internal/repository"
)

// sealer is a layout whose encrypted files are no sops files.
type sealer interface {
	// seal encrypts a value, and notes its recipients where that is needed.
	seal(ctx context.Context, ref Ref, plain []byte, recipients []string) ([]repository.File, error)
	open(ctx context.Context, ref Ref, ids *Identities) ([]byte, error)
	readers(ref Ref) ([]string, error)
	// pair is the new key of a machine as its two files hold it.
	pair(public string, private []byte, now time.Time) (announced, plain []byte)
}

// Seal gives the files that hold a value: encrypted to [Layout.Wanted] and
// [Layout.AdminRecipients] if the value is secret, as it is otherwise. machines
// are as for Wanted.
func Seal(ctx context.Context, l Layout, ref Ref, plain []byte, machines []Holder, now time.Time) ([]repository.File, error) {
	if !ref.Secret {
		path, err := l.Path(ref)
		return []repository.File{{Path: path, Data: plain}}, err
	}
	recipients, err := l.Wanted(ref, machines)
	if err != nil {
		return nil, fmt.Errorf("who is to read %s: %w", ref, err)
	}
	if s, ok := l.(sealer); ok {
		return s.seal(ctx, ref, plain, recipients)
	}
	admins, err := l.AdminRecipients()
	if err != nil {
		return nil, fmt.Errorf("who is to read %s: %w", ref, err)
	}
	recipients = normalizeRecipients(append(recipients, admins...))
	envelope, err := Encrypt(ctx, plain, recipients, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return Place(l, ref, envelope, recipients)
}

// Place gives the files that put a sops envelope for these recipients in its
// place.
func Place(l Layout, ref Ref, envelope []byte, recipients []string) ([]repository.File, error) {
	path, err := l.Path(ref)
	if err != nil {
		return nil, err
	}
	links, err := l.Links(ref, recipients)
	if err != nil {
		return nil, fmt.Errorf("the links of %s: %w", ref, err)
	}
	return append([]repository.File{{Path: path, Data: envelope}}, links...), nil
}

// Remove gives what removes a value, with what lies beside it.
func Remove(l Layout, ref Ref) ([]repository.File, error) {
	path, err := l.Path(ref)
	if err != nil {
		return nil, err
	}
	links, err := l.Links(ref, nil)
	return append([]repository.File{{Path: path, Gone: true}}, links...), err
}

// Open gives the plain bytes of a value that exists.
func Open(ctx context.Context, l Layout, ref Ref, ids *Identities) ([]byte, error) {
	if s, ok := l.(sealer); ok && ref.Secret {
		plain, err := s.open(ctx, ref, ids)
		return plain, at(l, ref, err)
	}
	data, err := l.Read(ref)
	if err != nil || !ref.Secret {
		return data, err
	}
	plain, err := Decrypt(ctx, data, ids)
	return plain, at(l, ref, err)
}

// Readers gives the public keys that a secret which exists is encrypted to,
// sorted. What is not encrypted is [NotEncrypted].
func Readers(l Layout, ref Ref) ([]string, error) {
	if s, ok := l.(sealer); ok {
		return s.readers(ref)
	}
	envelope, err := l.Read(ref)
	if err != nil {
		return nil, err
	}
	return EnvelopeRecipients(envelope)
}

// Regrant gives what makes exactly these recipients read a secret that exists.
// The value stays, and so does the data key: it is for adding readers.
func Regrant(ctx context.Context, l Layout, ref Ref, recipients []string, ids *Identities) ([]repository.File, error) {
	return again(ctx, l, ref, recipients, ids, func(envelope []byte) ([]byte, error) {
		return Rewrap(ctx, envelope, recipients, ids)
	})
}

// Revoke is Regrant with a new data key: it is for taking readers out, who know
// the old one. See [Reencrypt].
func Revoke(ctx context.Context, l Layout, ref Ref, recipients []string, ids *Identities, now time.Time) ([]repository.File, error) {
	return again(ctx, l, ref, recipients, ids, func(envelope []byte) ([]byte, error) {
		return Reencrypt(ctx, envelope, recipients, ids, now)
	})
}

func again(ctx context.Context, l Layout, ref Ref, recipients []string, ids *Identities, envelope func([]byte) ([]byte, error)) ([]repository.File, error) {
	if s, ok := l.(sealer); ok {
		plain, err := Open(ctx, l, ref, ids)
		if err != nil {
			return nil, err
		}
		return s.seal(ctx, ref, plain, recipients)
	}
	before, err := l.Read(ref)
	if err != nil {
		return nil, err
	}
	after, err := envelope(before)
	if err != nil {
		return nil, at(l, ref, err)
	}
	return Place(l, ref, after, recipients)
}

// at puts the path of a value in front of what is wrong with it.
func at(l Layout, ref Ref, err error) error {
	if err == nil {
		return nil
	}
	path, pathErr := l.Path(ref)
	if pathErr != nil {
		return pathErr
	}
	return fmt.Errorf("%s: %w", path, err)
}
