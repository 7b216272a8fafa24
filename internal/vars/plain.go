package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// Beside the values of generators, the layout of clan has secrets that people put
// there: sops/secrets/NAME. Links say who reads them.

// SecretAction is what happens to one secret without a generator.
type SecretAction string

// The actions.
const (
	SecretAdds     SecretAction = "add"
	SecretReplaces SecretAction = "replace"
	SecretKeeps    SecretAction = "keep" // it was so already
	SecretGrants   SecretAction = "grant"
	SecretRevokes  SecretAction = "revoke"
	SecretRemoves  SecretAction = "remove"
	SecretRenames  SecretAction = "rename"
)

// SecretChange is one secret without a generator and what happens to it.
type SecretChange struct {
	Name   string       `json:"name"`
	Action SecretAction `json:"action"`
	// To is its new name.
	To string `json:"to,omitempty"`
	// Added read it from now on, Removed not any more: "user alice".
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	// Machines are those that have or had it: their next update brings the change
	// to them.
	Machines []string `json:"machines"`
}

// String says it to a person.
func (c SecretChange) String() string {
	action := string(c.Action)
	if c.Action == SecretReplaces {
		action = "REPLACE"
	}
	text := action + " " + c.Name
	if c.To != "" {
		text += " to " + c.To
	}
	if len(c.Added) > 0 {
		text += ", read by " + strings.Join(c.Added, ", ")
	}
	if len(c.Removed) > 0 {
		text += ", no longer read by " + strings.Join(c.Removed, ", ")
	}
	return text
}

// SecretsReport says what was done to secrets without a generator, or with
// DryRun what would be.
type SecretsReport struct {
	// Recovered says what an interrupted run had left.
	Recovered string         `json:"recovered,omitempty"`
	Secrets   []SecretChange `json:"secrets"`
	// Rotate is what somebody has seen who does not read it any more.
	Rotate []Seen `json:"rotate"`
	// Paths are the files written or removed, sorted.
	Paths []string `json:"paths"`
}

// String is the report as it is shown to a person.
func (r *SecretsReport) String() string {
	var b strings.Builder
	for _, c := range r.Secrets {
		b.WriteString(c.String() + "\n")
	}
	return b.String()
}

// plainChange is what a change of secrets without a generator comes down to.
type plainChange struct {
	SecretsReport
	change
	*Fleet
	clan *secrets.Clan
	opts ChangeOptions
}

// changeSecrets makes and applies a change under the lock, in one transaction.
func (f *Fleet) changeSecrets(ctx context.Context, o ChangeOptions, plan func(*plainChange) error) (*SecretsReport, error) {
	clan, err := f.clan()
	if err != nil {
		return nil, err
	}
	c := &plainChange{SecretsReport: SecretsReport{Secrets: []SecretChange{}, Rotate: []Seen{}}, Fleet: f, clan: clan, opts: o}
	placed, err := f.apply(ctx, o, &c.change, func() error { return plan(c) })
	if !placed {
		return nil, err
	}
	c.Recovered, c.Paths = c.recovered, c.paths()
	return &c.SecretsReport, err
}

// clan is the layout, if it is the one that has secrets without a generator.
func (f *Fleet) clan() (*secrets.Clan, error) {
	clan, ok := f.Layout.(*secrets.Clan)
	if !ok {
		return nil, secrets.ErrNoPlain
	}
	return clan, nil
}

// note takes the files of one secret into the change, and tells by the links
// among them who reads it then.
func (c *plainChange) note(ref secrets.Ref, action SecretAction, files []repository.File) error {
	before, err := c.clan.LinkedTo(ref)
	if err != nil {
		return err
	}
	after, err := c.with(files).clan()
	if err != nil {
		return err
	}
	now, err := after.LinkedTo(ref)
	if err != nil {
		return err
	}
	change := SecretChange{
		Name: secrets.SecretName(ref), Action: action,
		Added:    append([]string{}, without(now.Names(), before.Names())...),
		Removed:  append([]string{}, without(before.Names(), now.Names())...),
		Machines: []string{},
	}
	machines := slices.Concat(before.Machines, now.Machines)
	groups, err := c.Layout.Groups()
	if err != nil {
		return err
	}
	for _, group := range groups {
		if slices.Contains(slices.Concat(before.Groups, now.Groups), group.Name) {
			machines = append(machines, group.Machines...)
		}
	}
	if !ref.IsKey() && action != SecretKeeps {
		slices.Sort(machines)
		change.Machines = append(change.Machines, slices.Compact(machines)...)
	}
	c.files, c.Secrets = append(c.files, files...), append(c.Secrets, change)
	return nil
}

// findPlain refuses the private key of a machine.
func (c *plainChange) findPlain(name string) (secrets.Ref, error) {
	ref, err := c.findSecret(name)
	if err == nil && ref.IsKey() {
		err = fmt.Errorf("%s is the private key of machine %s: `fleet vars keys rotate %s` makes another", name, ref.Machine, ref.Machine)
	}
	return ref, err
}

// known refuses readers who have no key.
func (c *plainChange) known(who secrets.Linked) error {
	var users, groups []string
	all, err := c.Layout.Users()
	if err != nil {
		return err
	}
	for _, user := range all {
		users = append(users, user.Name)
	}
	machines, err := c.Layout.Machines()
	if err != nil {
		return err
	}
	named, err := c.Layout.Groups()
	if err != nil {
		return err
	}
	for _, group := range named {
		groups = append(groups, group.Name)
	}
	for _, user := range who.Users {
		if !slices.Contains(users, user) {
			return fmt.Errorf("there is no user %s%s", user, flake.DidYouMean(user, users))
		}
	}
	for _, machine := range who.Machines {
		if _, err := c.Layout.Machine(machine); errors.Is(err, secrets.ErrNoMachineKey) {
			return fmt.Errorf("there is no machine %s that has a key%s", machine, flake.DidYouMean(machine, machines))
		} else if err != nil {
			return err
		}
	}
	for _, group := range who.Groups {
		keys, err := c.clan.KeysOf(secrets.Linked{Groups: []string{group}})
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return fmt.Errorf("there is nobody in a group %s%s: `fleet vars keys add USER --group %s` makes it", group, flake.DidYouMean(group, groups), group)
		}
	}
	return nil
}

// linked refuses those who are not linked to a secret.
func (c *plainChange) linked(ref secrets.Ref, who secrets.Linked) error {
	recovery := c.Layout.RecoveryKeyPath()
	for _, user := range who.Users {
		if path, err := c.Layout.UserKeyPath(user); err != nil {
			return err
		} else if path == recovery {
			return errors.New("the recovery key reads everything: `fleet vars keys remove --recovery` takes it away as a whole")
		}
	}
	there, err := c.clan.LinkedTo(ref)
	if err != nil {
		return err
	}
	if missing := without(who.Names(), there.Names()); len(missing) > 0 {
		return fmt.Errorf("%s is not noted as a reader of %s, those are %s", missing[0], ref, strings.Join(there.Names(), ", "))
	}
	return nil
}

// linkedMachines are the machines that are linked to a secret and have a key.
func (f *Fleet) linkedMachines(ref secrets.Ref) (machines []secrets.Holder, err error) {
	clan, err := f.clan()
	if err != nil {
		return nil, err
	}
	who, err := clan.LinkedTo(ref)
	if err != nil {
		return nil, err
	}
	for _, name := range who.Machines {
		holder, err := f.Layout.Machine(name)
		if errors.Is(err, secrets.ErrNoMachineKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		machines = append(machines, holder)
	}
	return machines, nil
}

// findSecret is what lies below a name in sops/secrets: a secret without a
// generator, or the private key of a machine.
func (f *Fleet) findSecret(name string) (secrets.Ref, error) {
	ref := secrets.SecretRef(name)
	exists, err := f.Layout.Exists(ref)
	if exists || err != nil {
		return ref, err
	}
	others, err := f.Layout.Others()
	if err != nil {
		return ref, err
	}
	var names []string
	for _, other := range others {
		names = append(names, secrets.SecretName(other))
	}
	return ref, fmt.Errorf("there is no secret %s%s", name, flake.DidYouMean(name, names))
}
