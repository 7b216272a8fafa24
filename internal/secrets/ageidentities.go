package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// WithAge adds the identities that clan looks for where its secrets are kept in
// the store age: those of AGE_KEY and AGE_KEYFILE, and of three files in the home
// directory. clan takes the first place that has any.
func (ids *Identities) WithAge(env Env) (*Identities, error) {
	more := &Identities{identities: slices.Clone(ids.identities), tried: slices.Clone(ids.tried), warnings: slices.Clone(ids.warnings)}
	if text := env.Getenv("AGE_KEY"); text == "" {
		more.tried = append(more.tried, "AGE_KEY")
	} else if err := more.add("AGE_KEY", []byte(text)); err != nil {
		return nil, err
	}
	if path := env.Getenv("AGE_KEYFILE"); path == "" {
		more.tried = append(more.tried, "AGE_KEYFILE")
	} else if err := more.addFile(path); err != nil {
		return nil, fmt.Errorf("the key file named by AGE_KEYFILE cannot be used: %w", err)
	}
	if env.Home == "" {
		return more, nil
	}
	for _, name := range []string{".config/age/identities", ".config/sops/age/keys.txt", ".age/key.txt"} {
		path := filepath.Join(env.Home, filepath.FromSlash(name))
		if path == env.DefaultIdentityFile() {
			continue // it is among them
		}
		if err := more.addFile(path); errors.Is(err, fs.ErrNotExist) {
			more.tried = append(more.tried, path)
		} else if err != nil {
			return nil, err
		}
	}
	return more, nil
}
