package secrets

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Wanted is the policy: the machines, every administrator, the recovery key.
func (n *Native) Wanted(ref Ref, machines []Holder) ([]string, error) {
	if ref.Machine != "" {
		for _, machine := range machines {
			if machine.Name != ref.Machine {
				return nil, fmt.Errorf("%s belongs to machine %s and cannot be given to %s: share the generator", ref, ref.Machine, machine.Name)
			}
		}
	}
	recipients, err := n.AdminRecipients()
	if err != nil {
		return nil, err
	}
	for _, machine := range machines {
		own, err := ageRecipients("machine "+machine.Name, machine)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, own...)
	}
	return normalizeRecipients(recipients), nil
}

// AdminRecipients are the public keys of every administrator and of the recovery key.
func (n *Native) AdminRecipients() ([]string, error) {
	users, err := n.Users()
	if err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, ErrNoAdmin
	}
	var recipients []string
	for _, user := range users {
		own, err := ageRecipients("user "+user.Name, user)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, own...)
	}
	recovery, err := n.Recovery()
	if err != nil {
		return nil, err
	}
	if len(recovery.Keys) > 0 {
		own, err := ageRecipients(recovery.Name, recovery)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, own...)
	}
	return normalizeRecipients(recipients), nil
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

// Machines are the names of all machines with a public or a private key.
func (n *Native) Machines() ([]string, error) {
	folders, err := n.readDir(machinesDir, "machine")
	if err != nil {
		return nil, err
	}
	names, err := n.readDir(keysDir, "file")
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return checkName("machine", name) != nil })
	for _, folder := range folders {
		if _, err := n.root.Stat(path.Join(machinesDir, folder, keyName)); err == nil {
			names = append(names, folder)
		} else if !isMissing(err) {
			return nil, err
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Machine reads the public key of a machine.
func (n *Native) Machine(name string) (Holder, error) {
	file, err := n.MachineKeyPath(name)
	if err != nil {
		return Holder{}, err
	}
	keys, err := n.readKeys(file)
	if isMissing(err) {
		return Holder{}, fmt.Errorf("machine %s: %w", name, ErrNoMachineKey)
	}
	return Holder{Name: name, Keys: keys}, err
}

// MachineKeyPath is the key.json of a machine.
func (n *Native) MachineKeyPath(machine string) (string, error) {
	if err := checkName("machine", machine); err != nil {
		return "", err
	}
	return path.Join(machinesDir, machine, keyName), nil
}

// MachinePrivateKeyPath is the envelope with the private key of a machine.
func (n *Native) MachinePrivateKeyPath(machine string) (string, error) {
	if err := checkName("machine", machine); err != nil {
		return "", err
	}
	return path.Join(keysDir, machine), nil
}

// ReadMachinePrivateKey gives the envelope with the private key of a machine.
func (n *Native) ReadMachinePrivateKey(machine string) ([]byte, error) {
	file, err := n.MachinePrivateKeyPath(machine)
	if err != nil {
		return nil, err
	}
	return n.root.ReadFile(file)
}

// Users are the administrators, sorted by name.
func (n *Native) Users() ([]Holder, error) {
	names, err := n.readDir(usersDir, "user")
	if err != nil {
		return nil, err
	}
	var users []Holder
	for _, name := range names {
		keys, err := n.readKeys(path.Join(usersDir, name, keyName))
		if err != nil {
			return nil, err
		}
		users = append(users, Holder{Name: name, Keys: keys})
	}
	slices.SortFunc(users, func(a, b Holder) int { return strings.Compare(a.Name, b.Name) })
	return users, nil
}

// UserKeyPath is the key.json of an administrator.
func (n *Native) UserKeyPath(user string) (string, error) {
	if err := checkName("user", user); err != nil {
		return "", err
	}
	return path.Join(usersDir, user, keyName), nil
}

// Recovery reads the public part of the recovery key, which is no user's.
func (n *Native) Recovery() (Holder, error) {
	keys, err := n.readKeys(recoveryKey)
	if err != nil && !isMissing(err) {
		return Holder{}, err
	}
	return Holder{Name: "the recovery key", Keys: keys}, nil
}

// RecoveryKeyPath is the key.json of the recovery key.
func (n *Native) RecoveryKeyPath() string { return recoveryKey }

func (n *Native) readKeys(file string) ([]Key, error) {
	data, err := n.root.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}
