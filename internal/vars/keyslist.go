package vars

import (
	"context"
	"errors"
	"slices"

	"github.com/crs58/fleet/internal/secrets"
)

// HolderKind is what holds a key.
type HolderKind string

// The kinds, in the order in which they are listed. HolderUnknown is somebody
// who can read secrets and is none of the others.
const (
	HolderUser     HolderKind = "user"
	HolderRecovery HolderKind = "recovery"
	HolderMachine  HolderKind = "machine"
	HolderUnknown  HolderKind = "unknown"
)

// HeldKey is a public key with what it opens.
type HeldKey struct {
	Kind      HolderKind `json:"kind"`
	Name      string     `json:"name,omitempty"`
	PublicKey string     `json:"publicKey"`
	// Own says that its private part is at hand.
	Own bool `json:"own"`
	// Secrets and MachineKeys count what can be read with it, of secrets also what
	// a machine reads whose key can be.
	Secrets     int `json:"secrets"`
	MachineKeys int `json:"machineKeys"`
}

// Keys are all keys of a fleet.
type Keys struct {
	Keys []HeldKey `json:"keys"`
	// Secrets and MachineKeys count what there is.
	Secrets     int `json:"secrets"`
	MachineKeys int `json:"machineKeys"`
	// Damaged are files that nobody can read.
	Damaged []string `json:"damaged"`
	// Groups are named sets of readers, in the layout that has them.
	Groups []KeyGroup `json:"groups"`
}

// Names are the holders of a kind, sorted.
func (k *Keys) Names(kind HolderKind) (names []string) {
	for _, key := range k.Keys {
		if key.Kind == kind {
			names = append(names, key.Name)
		}
	}
	return slices.Compact(names)
}

// GroupNames are the groups, sorted.
func (k *Keys) GroupNames() (names []string) {
	for _, group := range k.Groups {
		names = append(names, group.Name)
	}
	return names
}

// KeyGroup is a named set of readers with its members, sorted.
type KeyGroup struct {
	Name     string   `json:"name"`
	Users    []string `json:"users"`
	Machines []string `json:"machines"`
}

// ListKeys shows who holds which key and what it reads. It needs no key, and of
// the Fleet only Layout and Identities.
func (f *Fleet) ListKeys(ctx context.Context) (*Keys, error) {
	holders, err := f.holders()
	if err != nil {
		return nil, err
	}
	all, damaged, err := f.envelopes(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := f.Layout.Groups()
	if err != nil {
		return nil, err
	}
	list := &Keys{Keys: []HeldKey{}, Damaged: []string{}, Groups: []KeyGroup{}}
	for _, g := range groups {
		list.Groups = append(list.Groups, KeyGroup{Name: g.Name, Users: append([]string{}, g.Users...), Machines: append([]string{}, g.Machines...)})
	}
	for _, err := range damaged {
		list.Damaged = append(list.Damaged, err.Error())
	}
	own := f.Identities.Recipients()
	reads := through(holders, all)
	known := map[string]bool{}
	add := func(kind HolderKind, name, public, normal string) {
		known[normal] = true
		if name == public { // who is named by the flake has no other
			name = ""
		}
		key := HeldKey{Kind: kind, Name: name, PublicKey: public, Own: slices.Contains(own, normal)}
		for _, e := range all {
			switch {
			case !reads(normal, e):
			case e.ref.IsKey():
				key.MachineKeys++
			default:
				key.Secrets++
			}
		}
		list.Keys = append(list.Keys, key)
	}
	for _, h := range holders {
		for _, key := range h.Keys {
			add(h.kind, h.Name, key.PublicKey, secrets.NormalizeRecipient(key.PublicKey))
		}
	}
	for _, e := range all {
		if e.ref.IsKey() {
			list.MachineKeys++
		} else {
			list.Secrets++
		}
		for _, key := range e.readers {
			if !known[key] {
				add(HolderUnknown, "", key, key)
			}
		}
	}
	return list, nil
}

// through tells whether a key opens an encrypted file, be it by opening the key of
// a machine first.
func through(holders []holder, all []envelope) func(key string, e envelope) bool {
	private := map[string][]string{} // machine → who reads its private key
	for _, e := range all {
		if e.ref.IsKey() {
			private[e.ref.Machine] = e.readers
		}
	}
	behind := map[string][]string{} // the same, by its public key
	for _, h := range holders {
		if h.kind == HolderMachine {
			for _, key := range h.Recipients() {
				behind[key] = append(behind[key], private[h.Name]...)
			}
		}
	}
	return func(key string, e envelope) bool {
		return slices.ContainsFunc(e.readers, func(reader string) bool {
			return reader == key || !e.ref.IsKey() && slices.Contains(behind[reader], key)
		})
	}
}

// holder is somebody with keys in the repository.
type holder struct {
	secrets.Holder
	kind HolderKind
}

// String is how a holder is called in messages.
func (h holder) String() string {
	switch h.kind {
	case HolderUser:
		return "administrator " + h.Name
	case HolderMachine:
		return "machine " + h.Name
	}
	return "the recovery key"
}

// holders are the administrators, the recovery key and the machines.
func (f *Fleet) holders() (all []holder, err error) {
	users, err := f.Layout.Users()
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		all = append(all, holder{user, HolderUser})
	}
	recovery, err := f.Layout.Recovery()
	if err != nil {
		return nil, err
	}
	if len(recovery.Keys) > 0 {
		all = append(all, holder{secrets.Holder{Keys: recovery.Keys}, HolderRecovery})
	}
	machines, err := f.Layout.Machines()
	if err != nil {
		return nil, err
	}
	for _, name := range machines {
		machine, err := f.Layout.Machine(name)
		if errors.Is(err, secrets.ErrNoMachineKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, holder{machine, HolderMachine})
	}
	return all, nil
}

// owners says whose each public key is.
func (f *Fleet) owners() (map[string][]string, error) {
	holders, err := f.holders()
	if err != nil {
		return nil, err
	}
	owners := map[string][]string{}
	for _, h := range holders {
		for _, key := range h.Recipients() {
			owners[key] = append(owners[key], h.String())
		}
	}
	return owners, nil
}
