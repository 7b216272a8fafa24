package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"filippo.io/age"
)

// Env is what the identities are loaded from: the part of a process's
// environment that the sops program looks at as well.
type Env struct {
	// Getenv looks up a variable; an unset one is empty.
	Getenv func(string) string
	// Home is the user's home directory.
	Home string
	// Environ is what the command in SOPS_AGE_KEY_CMD runs with.
	Environ []string
	// Darwin selects the default file of macOS.
	Darwin bool
}

// DefaultIdentityFile is the key file that sops and fleet read by themselves,
// and that a new identity is appended to (mode 0600). It is empty if there is
// neither a home directory nor an absolute XDG_CONFIG_HOME.
func (e Env) DefaultIdentityFile() string {
	dir := e.Getenv("XDG_CONFIG_HOME")
	switch {
	case filepath.IsAbs(dir):
	case e.Home == "":
		return ""
	case e.Darwin:
		dir = filepath.Join(e.Home, "Library", "Application Support")
	default:
		dir = filepath.Join(e.Home, ".config")
	}
	return filepath.Join(dir, "sops", "age", "keys.txt")
}

// Identities are the private keys of the one who runs fleet. The zero value
// holds none and decrypts nothing. They can be used by several goroutines at once.
type Identities struct {
	identities []identity
	tried      []string
	warnings   []string
}

// identity is one private key, with its public key where that is known: an age
// plugin's is known only from the comment above it.
type identity struct {
	age.Identity
	recipient string
	plugin    string // name of the age plugin; "" for a key that is held here
}

// LoadIdentities collects every identity that the sops program would use:
// SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD, the default key file,
// SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD and
// ~/.ssh/{id_ed25519,id_rsa}. It never asks anything on a terminal. Finding none
// is no error here, because encrypting needs none: [Identities.Require] and
// decrypting report it. A place that the user named and that cannot be read is
// an error.
func LoadIdentities(ctx context.Context, env Env) (*Identities, error) {
	ids := &Identities{}
	if text := env.Getenv("SOPS_AGE_KEY"); text == "" {
		ids.tried = append(ids.tried, "SOPS_AGE_KEY")
	} else if err := ids.add("SOPS_AGE_KEY", []byte(text)); err != nil {
		return nil, err
	}
	for _, variable := range []string{"SOPS_AGE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE"} {
		path := env.Getenv(variable)
		if path == "" {
			ids.tried = append(ids.tried, variable)
		} else if err := ids.addFile(path); err != nil {
			return nil, fmt.Errorf("the key file named by %s cannot be used: %w", variable, err)
		}
	}
	for _, variable := range []string{"SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"} {
		command := env.Getenv(variable)
		if command == "" {
			ids.tried = append(ids.tried, variable)
			continue
		}
		output, err := runKeyCommand(ctx, command, env.Environ)
		if err != nil {
			return nil, fmt.Errorf("the command in %s failed (run it by hand to see why): %w", variable, err)
		}
		if err := ids.add("the output of the command in "+variable, output); err != nil {
			return nil, err
		}
	}
	if path := env.DefaultIdentityFile(); path != "" {
		if err := ids.addFile(path); errors.Is(err, fs.ErrNotExist) {
			ids.tried = append(ids.tried, path)
		} else if err != nil {
			return nil, err
		}
	}
	if env.Home == "" {
		return ids, nil
	}
	for _, name := range []string{"id_ed25519", "id_rsa"} {
		// An ssh key that lies there for logging in need not be fit for age.
		path := filepath.Join(env.Home, ".ssh", name)
		if err := ids.addFile(path); err != nil {
			ids.tried = append(ids.tried, path)
		}
	}
	return ids, nil
}

// Require returns a [NoIdentityError] if there is no identity.
func (ids *Identities) Require() error {
	if ids == nil {
		return &NoIdentityError{}
	}
	if len(ids.identities) == 0 {
		return &NoIdentityError{Tried: ids.tried}
	}
	return nil
}

// Recipients are the public keys of the identities, sorted. An age plugin
// identity has one only if the comment above it says so.
func (ids *Identities) Recipients() []string {
	if ids == nil {
		return nil
	}
	var recipients []string
	for _, id := range ids.identities {
		if id.recipient != "" {
			recipients = append(recipients, id.recipient)
		}
	}
	return normalizeRecipients(recipients)
}

// Warnings are findings that do not hinder, such as a key file that others on
// this computer can read.
func (ids *Identities) Warnings() []string {
	if ids == nil {
		return nil
	}
	return slices.Clone(ids.warnings)
}

// addFile adds the identities of a file.
func (ids *Identities) addFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := ids.add(path, data); err != nil {
		return err
	}
	// A pipe, as in SOPS_AGE_KEY_FILE=<(command), is nobody else's.
	if info.Mode().IsRegular() && info.Mode().Perm()&0o044 != 0 {
		ids.warnings = append(ids.warnings, fmt.Sprintf("the private key in %s can be read by others: chmod 600 %s", path, path))
	}
	return nil
}

// add adds the identities in data, which came from place.
func (ids *Identities) add(place string, data []byte) error {
	found, err := parseIdentities(place, data)
	if errors.Is(err, errPassphrase) {
		// Not fatal: another identity may do, and fleet asks nothing here.
		ids.tried = append(ids.tried, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if len(found) == 0 {
		ids.tried = append(ids.tried, place+" (empty)")
	}
	ids.identities = append(ids.identities, found...)
	return nil
}
