package vars

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// KeysInitOptions is what [Fleet.KeysInit] needs to know.
type KeysInitOptions struct {
	// IdentityFile is the file that a new key is appended to.
	IdentityFile string
	// User is the name in sops/users, made fit for a folder's name.
	User   string
	Limits Limits
	// Commit commits the key.json.
	Commit bool
}

// KeysInitReport says what there is now.
type KeysInitReport struct {
	User      string `json:"user"`
	PublicKey string `json:"publicKey"`
	// IdentityFile is set if the key was made and appended there.
	IdentityFile string `json:"identityFile,omitempty"`
	// Path is the key.json if it was written.
	Path string `json:"path,omitempty"`
	// Next is what is to be done where no file says who is an administrator.
	Next string `json:"next,omitempty"`
}

// KeysInit makes the user an administrator of the fleet: with an age key that
// is there already, otherwise with a new one, whose private part is appended to
// the identity file. What is already so stays, so it can be repeated. It needs
// of the Fleet only Root, Layout, Identities and Env.
func (f *Fleet) KeysInit(ctx context.Context, opts KeysInitOptions) (*KeysInitReport, error) {
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	t, err := r.Begin(ctx, opts.Limits.withDefaults().Lock, nil)
	if err != nil {
		return nil, err
	}
	defer t.Close()

	report := &KeysInitReport{User: userName(opts.User)}
	if known, err := f.knownUser(report); known || err != nil {
		return report, err
	}
	if report.PublicKey = f.ownKey(); report.PublicKey == "" {
		public, private, err := secrets.NewAgeKey()
		if err != nil {
			return nil, err
		}
		if err := appendIdentity(opts.IdentityFile, secrets.FormatIdentity(public, private)); err != nil {
			return nil, fmt.Errorf("keep the new key: %w", err)
		}
		report.PublicKey, report.IdentityFile = public, opts.IdentityFile
	}
	files, err := secrets.AddUserKey(f.Layout, report.User, report.PublicKey)
	if errors.Is(err, secrets.ErrInFlake) {
		report.User, report.Next = "", secrets.Admission(f.Layout)
		return report, nil
	}
	if err != nil {
		return nil, err
	}
	message := ""
	if opts.Commit {
		message = "feat(vars): add administrator " + report.User
	}
	if len(files) > 0 {
		report.Path = files[0].Path
	}
	_, err = t.Apply(files, message)
	return report, err
}

// knownUser finds an administrator who has one of the own keys.
func (f *Fleet) knownUser(report *KeysInitReport) (bool, error) {
	users, err := f.Layout.Users()
	if err != nil {
		return false, err
	}
	for _, user := range users {
		for _, key := range f.Identities.Recipients() {
			if slices.Contains(user.Recipients(), key) {
				report.User, report.PublicKey = user.Name, key
				return true, nil
			}
		}
	}
	return false, nil
}

// ownKey is the first age key at hand. SSH keys are for reading what others
// encrypted to them; what is made from now on gets an age key.
func (f *Fleet) ownKey() string {
	for _, key := range f.Identities.Recipients() {
		if strings.HasPrefix(key, "age1") {
			return key
		}
	}
	return ""
}

// userName makes a name that clan and the layout accept.
func userName(name string) string {
	const longest = 32
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	if name == "" {
		return "admin"
	}
	if name[0] == '-' || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name[:min(len(name), longest)]
}

// appendIdentity adds lines to an identity file and keeps what is there.
func appendIdentity(file string, lines []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		lines = slices.Concat([]byte("\n"), lines)
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// It may have been there, readable by others.
	if err := out.Chmod(0o600); err != nil {
		return errors.Join(err, out.Close())
	}
	_, err = out.Write(lines)
	return errors.Join(err, out.Sync(), out.Close())
}
