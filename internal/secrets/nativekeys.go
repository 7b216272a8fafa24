package secrets

import (
	"fmt"
	"path"
	"slices"

	"github.com/crs58/fleet/internal/repository"
)

// Links are none here: who reads what is a rule, and needs no note.
func (n *Native) Links(Ref, []string) ([]repository.File, error) { return nil, nil }

// Groups are none here: every administrator reads everything.
func (n *Native) Groups() ([]Group, error) { return nil, nil }

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

// Machines are the names of all machines with a public or a private key.
func (n *Native) Machines() ([]string, error) {
	folders, err := n.readDir(machinesDir, "machine")
	if err != nil {
		return nil, err
	}
	keys, err := n.Others()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, key := range keys {
		names = append(names, key.Machine)
	}
	for _, folder := range folders {
		if has, err := n.isFile(path.Join(machinesDir, folder, keyName)); err != nil {
			return nil, err
		} else if has {
			names = append(names, folder)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Belongings are the files and folders that are a machine's alone.
func (n *Native) Belongings(machine string) ([]string, error) {
	return []string{path.Join(machinesDir, machine), path.Join(keysDir, machine)}, checkName("machine", machine)
}

// Others are the private keys of machines.
func (n *Native) Others() ([]Ref, error) {
	names, err := n.readDir(keysDir, "file")
	var keys []Ref
	for _, name := range names {
		if checkName("machine", name) == nil {
			keys = append(keys, KeyRef(name))
		}
	}
	return keys, err
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
