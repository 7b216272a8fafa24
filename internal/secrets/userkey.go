package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
)

// Admission says how whoever holds a key becomes an administrator.
func Admission(l Layout) string {
	if _, isAge := l.(*Age); isAge {
		return "add your key to vars.settings.recipients in the flake; somebody who is named there already then runs `fleet vars fix`"
	}
	return "`fleet vars keys init` adds yours"
}

// AddUserKey gives the key.json of an administrator with the public key added,
// or nothing if it is already there. Secrets that exist are not yet readable
// with it: [Rewrap] them.
func AddUserKey(l Layout, user, public string) ([]repository.File, error) {
	file, err := l.UserKeyPath(user)
	if err != nil {
		return nil, err
	}
	public = NormalizeRecipient(public)
	if _, err := parseRecipient(public); err != nil {
		return nil, err
	}
	users, err := l.Users()
	if err != nil {
		return nil, err
	}
	keys := []Key{{PublicKey: public, Type: "age"}}
	for _, holder := range users {
		if holder.Name == user {
			if slices.Contains(holder.Recipients(), public) {
				return nil, nil
			}
			keys = append(keys, holder.Keys...)
		}
	}
	data, err := FormatKeys(keys)
	if err != nil {
		return nil, err
	}
	return []repository.File{{Path: file, Data: data}}, nil
}

// RemoveUserKey gives what becomes of an administrator without one of his keys,
// or without him if public is empty (the first file is his key.json), and the age
// keys that he loses. Secrets that exist are still readable with them:
// [Reencrypt] them.
func RemoveUserKey(l Layout, user, public string) ([]repository.File, []string, error) {
	file, err := l.UserKeyPath(user)
	if err != nil {
		return nil, nil, err
	}
	users, err := l.Users()
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(users, func(holder Holder) bool { return holder.Name == user })
	if i < 0 {
		return nil, nil, fmt.Errorf("there is no administrator %s: see `fleet vars keys list`", user)
	}
	public = NormalizeRecipient(public)
	kept := slices.DeleteFunc(slices.Clone(users[i].Keys), func(key Key) bool {
		return public == "" || NormalizeRecipient(key.PublicKey) == public
	})
	switch {
	case len(kept) == len(users[i].Keys):
		return nil, nil, fmt.Errorf("this is no key of administrator %s, whose are: %s", user, strings.Join(users[i].Recipients(), ", "))
	case len(kept) == 0:
		files, err := leaveGroups(l, user)
		return append([]repository.File{{Path: file, Gone: true}}, files...), users[i].Recipients(), err
	}
	data, err := FormatKeys(kept)
	if err != nil {
		return nil, nil, err
	}
	lost := slices.DeleteFunc(users[i].Recipients(), func(key string) bool { return key != public })
	return []repository.File{{Path: file, Data: data}}, lost, nil
}

// SetRecoveryKey gives the key.json of the recovery key, or nothing if it is
// that already. Another one that is there is not replaced.
func SetRecoveryKey(l Layout, public string) ([]repository.File, error) {
	if l.RecoveryKeyPath() == "" {
		return nil, ErrInFlake
	}
	public = NormalizeRecipient(public)
	if _, err := parseRecipient(public); err != nil {
		return nil, err
	}
	there, err := l.Recovery()
	switch {
	case err != nil:
		return nil, err
	case slices.Equal(there.Recipients(), []string{public}):
		return nil, nil
	case len(there.Keys) > 0:
		return nil, errors.New("there is a recovery key already: `fleet vars keys remove --recovery` removes it")
	}
	data, err := FormatKeys([]Key{{PublicKey: public, Type: "age"}})
	return []repository.File{{Path: l.RecoveryKeyPath(), Data: data}}, err
}
