package secrets

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// people are those who hold keys in a repository, as every layout keeps them:
//
//	sops/{machines,users}/<name>/key.json
type people struct {
	worktree
}

const (
	machinesDir = "sops/machines"
	usersDir    = "sops/users"
	keyName     = "key.json"
)

// Machine reads the public key of a machine.
func (p people) Machine(name string) (Holder, error) {
	file, err := p.MachineKeyPath(name)
	if err != nil {
		return Holder{}, err
	}
	keys, err := p.readKeys(file)
	if isMissing(err) {
		return Holder{}, fmt.Errorf("machine %s: %w", name, ErrNoMachineKey)
	}
	return Holder{Name: name, Keys: keys}, err
}

// MachineKeyPath is the key.json of a machine.
func (p people) MachineKeyPath(machine string) (string, error) {
	if err := checkName("machine", machine); err != nil {
		return "", err
	}
	return path.Join(machinesDir, machine, keyName), nil
}

// Users are the administrators, sorted by name.
func (p people) Users() ([]Holder, error) {
	names, err := p.readDir(usersDir, "user")
	if err != nil {
		return nil, err
	}
	var users []Holder
	for _, name := range names {
		file := path.Join(usersDir, name, keyName)
		if p.pending[file].Gone {
			continue
		}
		keys, err := p.readKeys(file)
		if err != nil {
			return nil, err
		}
		users = append(users, Holder{Name: name, Keys: keys})
	}
	slices.SortFunc(users, func(a, b Holder) int { return strings.Compare(a.Name, b.Name) })
	return users, nil
}

// UserKeyPath is the key.json of an administrator.
func (p people) UserKeyPath(user string) (string, error) {
	if err := checkName("user", user); err != nil {
		return "", err
	}
	return path.Join(usersDir, user, keyName), nil
}

// ageRecipients refuses to leave a key out because it is of another kind.
func ageRecipients(who string, holder Holder) ([]string, error) {
	for _, key := range holder.Keys {
		if key.Type != "age" {
			return nil, fmt.Errorf("%s has a %s key, and fleet encrypts to age keys only: replace it in its key.json", who, key.Type)
		}
	}
	if len(holder.Keys) == 0 {
		return nil, fmt.Errorf("%s has no key", who)
	}
	return holder.Recipients(), nil
}
