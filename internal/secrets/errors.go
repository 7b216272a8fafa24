package secrets

import (
	"errors"
	"fmt"
	"strings"
)

// NoIdentityError says that the administrator has no age identity at all.
type NoIdentityError struct {
	// Tried are the places that were looked at, with what was wrong there.
	Tried []string
}

func (e *NoIdentityError) Error() string {
	if len(e.Tried) == 0 {
		return ErrNoIdentity.Error()
	}
	return fmt.Sprintf("no age identity found (looked at %s): make one with `fleet vars keys init`", strings.Join(e.Tried, ", "))
}

// Is makes every NoIdentityError match [ErrNoIdentity].
func (e *NoIdentityError) Is(target error) bool { return target == ErrNoIdentity }

// NoMatchError says that none of the identities at hand opens an envelope.
type NoMatchError struct {
	// Recipients are the public keys that the envelope is encrypted to.
	Recipients []string
	// Own are the public keys of the identities that were tried.
	Own []string
	// Causes are the failures of identities that could not even be tried, such
	// as an age plugin that is not installed.
	Causes []error
}

func (e *NoMatchError) Error() string {
	own := "no identity with a known public key"
	if len(e.Own) > 0 {
		own = "yours: " + strings.Join(e.Own, ", ")
	}
	text := fmt.Sprintf("none of your age identities can decrypt this value (%s; encrypted to: %s): "+
		"ask an administrator who can read it to add your key", own, strings.Join(e.Recipients, ", "))
	for _, cause := range e.Causes {
		text += "; " + cause.Error()
	}
	return text
}

// Unwrap gives the failures of identities that could not be tried.
func (e *NoMatchError) Unwrap() []error { return e.Causes }

// UnsupportedError says that a file is a sops file, but one with a feature that
// a value of a fleet never has, and that is therefore refused and not guessed at.
type UnsupportedError struct {
	Feature string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("this sops file uses %s, which fleet does not read: open it with the sops program", e.Feature)
}

// NotEncrypted tells of an error that a secret lies where an encrypted file
// belongs, perhaps in plain: [ErrNotSops], [ErrNotAge].
func NotEncrypted(err error) bool { return errors.Is(err, ErrNotSops) || errors.Is(err, ErrNotAge) }

// NameError says that a name cannot be part of a path in the repository.
type NameError struct {
	Kind   string // machine, generator, file or user
	Name   string
	Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%s name %q cannot be used: %s", e.Kind, e.Name, e.Reason)
}

// KeyMismatchError says that a machine's private key is not the one whose
// public half its key.json announces: the machine could not read its secrets.
type KeyMismatchError struct {
	Machine    string
	KeyFile    string // path of the key.json
	Announced  string // public key in key.json
	Actual     string // public key of the private key
	PrivateKey string // path of the encrypted private key
}

func (e *KeyMismatchError) Error() string {
	return fmt.Sprintf("the keys of machine %s do not belong together: %s says %s, but %s holds the private key of %s; "+
		"restore the two files from one commit", e.Machine, e.KeyFile, e.Announced, e.PrivateKey, e.Actual)
}

type constError string

func (e constError) Error() string { return string(e) }

const (
	// ErrNoIdentity matches a [NoIdentityError].
	ErrNoIdentity = constError("no age identity: make one with `fleet vars keys init`")
	// ErrNoAdmin says that a repository names no administrator, so that a
	// secret would be readable by nobody who can mend it.
	ErrNoAdmin = constError("the repository names no administrator under sops/users: add yourself with `fleet vars keys init`")
	// ErrNotSops says that a file is not a sops envelope, perhaps plaintext.
	ErrNotSops = constError("not a sops file")
	// ErrNotAge says that a file is not an age file, perhaps plaintext.
	ErrNotAge = constError("not an age file")
	// ErrInFlake says that the administrators are no matter of files.
	ErrInFlake = constError("the administrators of this fleet are named in its flake: change vars.settings.recipients there (default, or hosts.MACHINE), then run `fleet vars fix`")
	// ErrMACMismatch says that an envelope was changed by something that did not
	// know its data key.
	ErrMACMismatch = constError("the file was changed after it was encrypted: restore it from git")
	// ErrNoMachineKey says that a machine has no public key in the repository.
	ErrNoMachineKey = constError("the machine has no key yet: `fleet vars generate` makes it")
)
