package secrets

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Ref names one value of a fleet. It can be the key of a map.
type Ref struct {
	Machine   string // "" means shared
	Generator string
	File      string
	Secret    bool
}

// String is how a value is called in messages: machine/generator/file, or
// shared/generator/file. It does not tell whether it is secret.
func (r Ref) String() string {
	machine := r.Machine
	if machine == "" {
		machine = "shared"
	}
	return machine + "/" + r.Generator + "/" + r.File
}

// File is a file that is to be written, mode 0644, or that is to go. Path is
// relative to the repository and uses slashes.
type File struct {
	Path string
	Data []byte
	// Gone says that the file is to be removed, with its folder if it was the
	// last in it.
	Gone bool
}

// Layout says where the values and keys of a fleet lie in its repository, and
// who is to read them. Missing things are reported as [fs.ErrNotExist]. Names
// that cannot be part of a path are a [NameError].
type Layout interface {
	// Path is where the value lies, relative to the repository.
	Path(ref Ref) (string, error)
	// Exists tells whether the value is there, as a regular file.
	Exists(ref Ref) (bool, error)
	// Read gives the file of the value: the envelope of a secret, the value
	// itself of a public one.
	Read(ref Ref) ([]byte, error)
	// List gives every value on disk, sorted, of whatever machine.
	List() ([]Ref, error)

	// HashPath is where the validation hash of a generator lies; machine "" means shared.
	HashPath(machine, generator string) (string, error)
	// Hash reads the validation hash of a generator; "" if there is none.
	Hash(machine, generator string) (string, error)

	// Wanted is the policy: the public keys that the secret is to be encrypted
	// to, sorted. machines are those that the secret is deployed to (none for
	// deploy = false; all that use it for a shared one); they are given by value
	// because their keys may be about to be made. Every administrator and the
	// recovery key are always among them; no administrator is [ErrNoAdmin].
	Wanted(ref Ref, machines []Holder) ([]string, error)
	// AdminRecipients are the public keys of every administrator and of the
	// recovery key, if there is one.
	AdminRecipients() ([]string, error)

	// Machines are the names of all machines that have a key in the repository,
	// be it only a public or only a private one, sorted.
	Machines() ([]string, error)
	// Machine reads the public key of a machine; a missing one is [ErrNoMachineKey].
	Machine(name string) (Holder, error)
	// MachineKeyPath is the key.json of a machine.
	MachineKeyPath(machine string) (string, error)
	// MachinePrivateKeyPath is the envelope with the private key of a machine.
	MachinePrivateKeyPath(machine string) (string, error)
	// ReadMachinePrivateKey gives that envelope.
	ReadMachinePrivateKey(machine string) ([]byte, error)

	// Users are the administrators, sorted by name.
	Users() ([]Holder, error)
	// UserKeyPath is the key.json of an administrator.
	UserKeyPath(user string) (string, error)
	// Recovery is the recovery key; it has no keys if there is none.
	Recovery() (Holder, error)
	// RecoveryKeyPath is the key.json of the recovery key.
	RecoveryKeyPath() string

	// Survey looks for what is wrong with the folders as such.
	Survey() (*Survey, error)
}

// Seal gives the files that hold a value: encrypted to [Layout.Wanted] if the
// value is secret, as it is otherwise. machines are as for Wanted.
func Seal(ctx context.Context, l Layout, ref Ref, plain []byte, machines []Holder, now time.Time) ([]File, error) {
	path, err := l.Path(ref)
	if err != nil {
		return nil, err
	}
	if !ref.Secret {
		return []File{{Path: path, Data: plain}}, nil
	}
	recipients, err := l.Wanted(ref, machines)
	if err != nil {
		return nil, fmt.Errorf("who is to read %s: %w", ref, err)
	}
	envelope, err := Encrypt(ctx, plain, recipients, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return []File{{Path: path, Data: envelope}}, nil
}

// Open gives the plain bytes of a value that exists.
func Open(ctx context.Context, l Layout, ref Ref, ids *Identities) ([]byte, error) {
	data, err := l.Read(ref)
	if err != nil || !ref.Secret {
		return data, err
	}
	plain, err := Decrypt(ctx, data, ids)
	if err != nil {
		return nil, at(l, ref, err)
	}
	return plain, nil
}

// Reseal gives what must be written so that an existing secret is readable by
// those of [Layout.Wanted]; nothing if it is already right, which takes no
// identity to find out.
func Reseal(ctx context.Context, l Layout, ref Ref, machines []Holder, ids *Identities) ([]File, error) {
	if !ref.Secret {
		return nil, nil
	}
	recipients, err := l.Wanted(ref, machines)
	if err != nil {
		return nil, fmt.Errorf("who is to read %s: %w", ref, err)
	}
	before, err := l.Read(ref)
	if err != nil {
		return nil, err
	}
	after, err := Rewrap(ctx, before, recipients, ids)
	if err != nil {
		return nil, at(l, ref, err)
	}
	if bytes.Equal(before, after) {
		return nil, nil
	}
	path, err := l.Path(ref)
	if err != nil {
		return nil, err
	}
	return []File{{Path: path, Data: after}}, nil
}

// at puts the path of a value in front of what is wrong with it.
func at(l Layout, ref Ref, err error) error {
	path, pathErr := l.Path(ref)
	if pathErr != nil {
		return pathErr
	}
	return fmt.Errorf("%s: %w", path, err)
}
