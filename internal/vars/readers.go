package vars

import (
	"errors"
	"fmt"
	"slices"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// readers knows who is to read which secret, and whose key is whose.
type readers struct {
	fleet *Fleet
	// machines are the keys of all machines of the inventory that have one.
	machines map[string]secrets.Holder
	// broken are machines that are not selected and whose key cannot be read.
	broken map[string]error
	names  map[string]string // public key → whose it is
	admins []string
	// nobody says that there are no administrators.
	nobody error
}

// audit compares who can read a secret with who should, by name.
type audit struct {
	Lacks []string
	Extra []string
	// Links are those beside the secret that have to change to say who is to read it.
	Links []repository.File
}

func (f *Fleet) readers() (*readers, error) {
	r := &readers{fleet: f, machines: map[string]secrets.Holder{}, broken: map[string]error{}, names: map[string]string{}}
	for machine := range f.Inventory.Machines {
		holder, err := f.Layout.Machine(machine)
		if errors.Is(err, secrets.ErrNoMachineKey) {
			continue
		}
		if _, selected := f.Machines[machine]; err != nil && !selected {
			r.broken[machine] = machineError(machine, err)
			continue
		}
		if err != nil {
			return nil, machineError(machine, err)
		}
		r.add(machine, holder)
	}
	admins, err := f.Layout.AdminRecipients()
	if err != nil && !errors.Is(err, secrets.ErrNoAdmin) {
		return nil, err
	}
	r.admins, r.nobody = admins, err
	recovery, err := f.Layout.Recovery()
	if err != nil {
		return nil, err
	}
	for _, key := range recovery.Recipients() {
		r.names[key] = "the recovery key"
	}
	users, err := f.Layout.Users()
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		for _, key := range user.Recipients() {
			r.names[key] = "administrator " + user.Name
		}
	}
	return r, nil
}

// complete is an error where the key of some machine cannot be read: it could be
// among the readers of a shared secret, and would be taken for nobody's.
func (r *readers) complete() error {
	for _, machine := range sorted(r.broken) {
		return r.broken[machine]
	}
	return nil
}

// add makes a machine's key known.
func (r *readers) add(machine string, holder secrets.Holder) {
	r.machines[machine] = holder
	for _, key := range holder.Recipients() {
		r.names[key] = "machine " + machine
	}
}

// holders are the machines that a secret is deployed to. Of a shared one, these
// are also machines that are not selected now but can read it already.
func (r *readers) holders(n *Node, file string, recipients []string) (holders []secrets.Holder) {
	if !n.Def.Files[file].Deploy {
		return nil
	}
	candidates := n.Machines
	if n.Shared() {
		candidates = sorted(r.machines)
	}
	for _, machine := range candidates {
		holder, ok := r.machines[machine]
		_, selected := r.fleet.Machines[machine]
		reads := func(key string) bool { return slices.Contains(recipients, key) }
		if ok && (slices.Contains(n.Machines, machine) || !selected && slices.ContainsFunc(holder.Recipients(), reads)) {
			holders = append(holders, holder)
		}
	}
	return holders
}

// audit compares the readers of an existing secret with the wanted ones.
func (r *readers) audit(n *Node, file string) (audit, error) {
	ref := n.ref(file)
	a, err := r.auditRef(ref, func(actual []string) []secrets.Holder { return r.holders(n, file, actual) })
	if err != nil {
		return a, err
	}
	if n.Def.Files[file].Deploy {
		for _, machine := range n.Machines {
			if _, ok := r.machines[machine]; !ok {
				a.Lacks = append(a.Lacks, "machine "+machine)
			}
		}
	}
	return a, nil
}

// auditKey compares the readers of a machine's private key.
func (r *readers) auditKey(machine string) (audit, error) {
	return r.auditRef(secrets.KeyRef(machine), func([]string) []secrets.Holder { return nil })
}

func (r *readers) auditRef(ref secrets.Ref, holders func(actual []string) []secrets.Holder) (audit, error) {
	actual, err := secrets.Readers(r.fleet.Layout, ref)
	if err != nil {
		return audit{}, fmt.Errorf("%s: %w", ref, err)
	}
	machines := holders(actual)
	wanted, err := r.fleet.Layout.Wanted(ref, machines)
	if err != nil && !errors.Is(err, secrets.ErrNoAdmin) {
		return audit{}, err
	}
	a := r.compare(actual, wanted)
	if err == nil {
		a.Links, err = r.fleet.Layout.Links(ref, wanted)
	}
	return a, err
}

func (r *readers) compare(actual, wanted []string) (a audit) {
	if secrets.SameRecipients(actual, wanted) {
		return a
	}
	for _, key := range wanted {
		if !slices.Contains(actual, key) {
			a.Lacks = append(a.Lacks, r.name(key))
		}
	}
	for _, key := range actual {
		if !slices.Contains(wanted, key) {
			a.Extra = append(a.Extra, r.name(key))
		}
	}
	slices.Sort(a.Lacks)
	slices.Sort(a.Extra)
	a.Lacks, a.Extra = slices.Compact(a.Lacks), slices.Compact(a.Extra)
	return a
}

func (r *readers) name(key string) string {
	if name, ok := r.names[key]; ok {
		return name
	}
	return "the unknown key " + key
}
