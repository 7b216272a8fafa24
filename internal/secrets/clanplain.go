package secrets

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
)

// Linked are the names beside a secret: who is to read it.
type Linked struct {
	Users    []string `json:"users"`
	Machines []string `json:"machines"`
	Groups   []string `json:"groups"`
}

// kinds gives the names by the folder of links that they are in.
func (l Linked) kinds() linkSet {
	return linkSet{linkUsers: l.Users, linkMachines: l.Machines, linkGroups: l.Groups}
}

// Names are all of them, in words, by kind and as they stand there.
func (l Linked) Names() (names []string) {
	for _, user := range l.Users {
		names = append(names, Member{Name: user}.String())
	}
	for _, machine := range l.Machines {
		names = append(names, Member{Name: machine, Machine: true}.String())
	}
	for _, group := range l.Groups {
		names = append(names, "group "+group)
	}
	return names
}

// LinkedTo tells who is linked to a secret, sorted. A link may lead to nobody.
func (c *Clan) LinkedTo(ref Ref) (Linked, error) {
	set, err := c.linked(ref)
	return Linked{Users: set[linkUsers], Machines: set[linkMachines], Groups: set[linkGroups]}, err
}

// KeysOf are the public keys of all who are named, as far as they have any, sorted.
func (c *Clan) KeysOf(who Linked) (keys []string, err error) {
	for kind, names := range who.kinds() {
		for _, name := range names {
			read := func() ([]string, error) { return c.keysOf(kind, name) }
			if kind == linkGroups {
				read = func() ([]string, error) { return c.groupKeys(name) }
			}
			own, err := read()
			if err != nil {
				return nil, err
			}
			keys = append(keys, own...)
		}
	}
	return normalizeRecipients(keys), nil
}

// Link gives the links to them that a secret lacks. It is not yet readable for
// them: [Regrant] it.
func (c *Clan) Link(ref Ref, who Linked) (files []repository.File, err error) {
	dir, err := c.dir(ref)
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{linkMachines, linkUsers, linkGroups} {
		for _, name := range sortedNames(who.kinds()[kind]) {
			if err := checkName(strings.TrimSuffix(kind, "s"), name); err != nil {
				return nil, err
			}
			file := repository.File{Path: path.Join(dir, kind, name), Link: linkTo(path.Join(dir, kind), kind, name)}
			if target, err := c.readLink(file.Path); err != nil && !isMissing(err) {
				return nil, err
			} else if target != file.Link {
				files = append(files, file)
			}
		}
	}
	return files, nil
}

// Unlink gives the links to them that a secret has, as gone. It is still readable
// for them: [Revoke] it.
func (c *Clan) Unlink(ref Ref, who Linked) (files []repository.File, err error) {
	dir, err := c.dir(ref)
	if err != nil {
		return nil, err
	}
	there, err := c.linked(ref)
	for _, kind := range []string{linkMachines, linkUsers, linkGroups} {
		for _, name := range sortedNames(who.kinds()[kind]) {
			if slices.Contains(there[kind], name) {
				files = append(files, repository.File{Path: path.Join(dir, kind, name), Gone: true})
			}
		}
	}
	return files, err
}

// Rename gives what gives a secret without a generator another name. The envelope
// and its links stay as they are.
func (c *Clan) Rename(from, to string) ([]repository.File, error) {
	before, after := PlainRef(from), PlainRef(to)
	file, err := c.Path(after)
	if err != nil {
		return nil, err
	}
	envelope, err := c.Read(before)
	if err != nil {
		return nil, err
	}
	who, err := c.LinkedTo(before)
	if err != nil {
		return nil, err
	}
	links, err := c.Link(after, who)
	if err != nil {
		return nil, err
	}
	gone, err := Remove(c, before)
	return slices.Concat([]repository.File{{Path: file, Data: envelope}}, links, gone), err
}

// SecretRef names what lies below a name in sops/secrets: a secret without a
// generator, or the private key of a machine.
func SecretRef(name string) Ref {
	if machine, ok := strings.CutSuffix(name, clanKeySuffix); ok && checkName("machine", machine) == nil {
		return KeyRef(machine)
	}
	return PlainRef(name)
}

// SecretName is the name of such a secret or key in sops/secrets.
func SecretName(ref Ref) string {
	if ref.IsKey() {
		return ref.Machine + clanKeySuffix
	}
	return ref.File
}

// CheckSecretName refuses a name for a new secret without a generator that clan
// would not accept, or take for something else.
func CheckSecretName(name string) error {
	if err := checkName("secret", name); err != nil {
		return err
	}
	refuse := func(reason string) error { return &NameError{Kind: "secret", Name: name, Reason: reason} }
	switch {
	case strings.ContainsAny(name, "+@="):
		return refuse("clan takes only letters, digits and . _ -")
	case SecretRef(name).IsKey():
		return refuse("names that end in " + clanKeySuffix + " are those of the private keys of machines")
	}
	return nil
}

// ErrNoPlain says that a layout has no secrets without a generator.
var ErrNoPlain = errors.New("the layout of this fleet has no secrets without a generator: declare a generator with a prompt and `fleet vars set` its value, or keep a sops file of your own beside the values")

func sortedNames(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
