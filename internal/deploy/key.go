package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// KeyAction says what is to be done about a machine's age key.
type KeyAction string

// The actions. KeyNone is for a machine that needs no key from here: it has no
// secrets, or it brought its own key.
const (
	KeyNone      KeyAction = "none"
	KeyUnchanged KeyAction = "unchanged"
	KeyInstall   KeyAction = "install"
	KeyReplace   KeyAction = "replace"
)

// keyPath is where a machine's age key lies on it; empty if nobody knows.
func keyPath(details *flake.Details) string {
	if details.SecretUploadDirectory == "" {
		return "" // a flake that says nothing of secrets
	}
	return path.Join(details.SecretUploadDirectory, "key.txt")
}

// hasSecrets tells whether the machine has a secret that it decrypts itself.
func hasSecrets(details *flake.Details) bool {
	for _, g := range details.Generators {
		for _, f := range g.Files {
			if f.Secret && f.Deploy {
				return true
			}
		}
	}
	return false
}

// planKey compares the machine's age key with what lies on the machine, and
// says in a note why there is nothing to do where that is not plain.
func (d *Deployer) planKey(ctx context.Context, m Machine, facts Facts) (action KeyAction, content []byte, note string, err error) {
	if !hasSecrets(m.Details) {
		return KeyNone, nil, "has no secrets", nil
	}
	if err := checkUploadDirectory(m.Details.SecretUploadDirectory); err != nil {
		return KeyNone, nil, "", err
	}
	content, err = d.machineKey(ctx, m.Name)
	there := facts.Key.Digest != "" || facts.Key.Hidden
	switch {
	case errors.Is(err, secrets.ErrNoMachineKey):
		return KeyNone, nil, "", err
	case errors.Is(err, fs.ErrNotExist) && !there:
		return KeyNone, nil, "", fmt.Errorf("the machine is to bring its own age key, but there is none at %s: put it there", keyPath(m.Details))
	case errors.Is(err, fs.ErrNotExist):
		return KeyNone, nil, "brought its own key", nil
	case err != nil:
		return KeyNone, nil, "", err
	case facts.Key.Hidden && facts.runs(m.Details.Toplevel.OutPath):
		return KeyUnchanged, content, "its age key cannot be looked at without root", nil
	case !there:
		return KeyInstall, content, "", nil
	case facts.Key.Digest != digest(content) || facts.Key.Mode.Perm() != 0o600:
		return KeyReplace, content, "", nil
	}
	return KeyUnchanged, content, "", nil
}

// machineKey is the content of the machine's key file. [fs.ErrNotExist] says
// that the machine brought its own key.
func (d *Deployer) machineKey(ctx context.Context, machine string) ([]byte, error) {
	if d.o.MachineKey == nil {
		return nil, fmt.Errorf("it has secrets, but no age identity is at hand to decrypt its key with: see `fleet vars keys list`")
	}
	key, err := d.o.MachineKey(ctx, machine)
	switch {
	case errors.Is(err, secrets.ErrNoMachineKey):
		return nil, &fixableError{
			err:  fmt.Errorf("it has secrets but no key to read them with yet: %w", err),
			next: "fleet vars generate " + machine,
		}
	case err != nil:
		return nil, fmt.Errorf("decrypt the age key of machine %s: %w", machine, err)
	}
	d.secrets.hide(machine, key)
	return append(key[:len(key):len(key)], '\n'), nil
}

// checkUploadDirectory refuses a folder that is too high in the tree: it is
// closed to everybody but root.
func checkUploadDirectory(dir string) error {
	parts := strings.Split(strings.Trim(path.Clean(dir), "/"), "/")
	shallow := len(parts) < 3 && (len(parts) != 2 || (parts[0] != "root" && parts[0] != "etc"))
	if !path.IsAbs(dir) || shallow {
		return fmt.Errorf("secretUploadDirectory is %q, which fleet will not close to everybody but root: use a folder of its own, such as /var/lib/sops-nix", dir)
	}
	return nil
}
