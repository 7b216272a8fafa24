package secrets

import (
	"fmt"
	"path"
	"slices"

	"github.com/crs58/fleet/internal/repository"
)

// Clan is the layout of clan-core, whose program reads and writes the same files:
//
//	vars/per-machine/<m>/<g>/<f>/secret   vars/per-machine/<m>/<g>/<f>/value
//	vars/shared/<g>/<f>/secret            vars/shared/<g>/<f>/value
//	…/<g>/<f>/{machines,users,groups}/<n> → sops/{machines,users,groups}/<n>
//	sops/{machines,users}/<n>/key.json    sops/groups/<n>/{machines,users}/<n>
//	sops/secrets/<m>-age.key/secret       the machine's private key, with links
//	sops/secrets/<name>/secret            secrets without a generator
//	…/<g>/.validation-hash
//
// Who is to read a secret is what the links beside it say. It can be used by
// several goroutines at once. Source: clan-core, pkgs/clan-cli, clan_cli/secrets
// and clan_lib/vars.
type Clan struct {
	people
	opts ClanOptions
}

var _ Layout = (*Clan)(nil)

// ClanOptions is what the folders do not tell.
type ClanOptions struct {
	// Groups are the groups that read every secret of a machine
	// (clan.core.sops.defaultGroups), by machine.
	Groups map[string][]string
	// Own are the public keys of whoever runs fleet: the user who has one of them
	// reads what is made.
	Own []string
}

const (
	varsDir        = "vars"
	varsPerMachine = varsDir + "/" + perMachine
	varsShared     = varsDir + "/" + shared
	groupsDir      = "sops/groups"
	clanSecrets    = "sops/secrets"
	clanKeySuffix  = "-age.key"
	clanSecret     = "secret"
	clanValue      = "value"
	// clanRecovery is the user whose key is the recovery key.
	clanRecovery = "recovery"
)

// The folders of links beside a secret.
const (
	linkMachines = "machines"
	linkUsers    = "users"
	linkGroups   = "groups"
)

// OpenClan opens the repository at dir, the folder that holds vars/ and sops/.
func OpenClan(dir string, o ClanOptions) (*Clan, error) {
	t, err := openWorktree(dir)
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	return &Clan{people{t}, o}, nil
}

// With is the layout as it will be once the files are written.
func (c *Clan) With(files []repository.File) Layout { return &Clan{people{c.with(files)}, c.opts} }

// Path is where the value lies, relative to the repository.
func (c *Clan) Path(ref Ref) (string, error) {
	dir, err := c.dir(ref)
	if err != nil {
		return "", err
	}
	if ref.Secret {
		return path.Join(dir, clanSecret), nil
	}
	return path.Join(dir, clanValue), nil
}

// dir is the folder of a value, with its links.
func (c *Clan) dir(ref Ref) (string, error) {
	switch {
	case ref.IsKey():
		err := checkName("machine", ref.Machine)
		return path.Join(clanSecrets, ref.Machine+clanKeySuffix), err
	case ref.IsPlain():
		err := checkName("secret", ref.File)
		return path.Join(clanSecrets, ref.File), err
	}
	if err := checkName("file", ref.File); err != nil {
		return "", err
	}
	dir, err := clanGeneratorDir(ref.Machine, ref.Generator)
	return path.Join(dir, ref.File), err
}

func clanGeneratorDir(machine, generator string) (string, error) {
	if err := checkName("generator", generator); err != nil {
		return "", err
	}
	dir, err := clanPlace(varsDir, machine)
	return path.Join(dir, generator), err
}

// HashPath is where the validation hash of a generator lies.
func (c *Clan) HashPath(machine, generator string) (string, error) {
	dir, err := clanGeneratorDir(machine, generator)
	return path.Join(dir, hashName), err
}

// Hash reads the validation hash of a generator; "" if there is none.
func (c *Clan) Hash(machine, generator string) (string, error) {
	file, err := c.HashPath(machine, generator)
	if err != nil {
		return "", err
	}
	return c.readHash(file)
}

// Exists tells whether the value is there, as a regular file.
func (c *Clan) Exists(ref Ref) (bool, error) {
	file, err := c.Path(ref)
	if err != nil {
		return false, err
	}
	return c.isFile(file)
}

// Read gives the file of the value.
func (c *Clan) Read(ref Ref) ([]byte, error) {
	file, err := c.Path(ref)
	if err != nil {
		return nil, err
	}
	return c.readFile(file)
}

// List gives every value on disk, sorted. What could not be a value because of
// its name or kind is left out.
func (c *Clan) List() ([]Ref, error) {
	return c.listValues(varsDir, func(folder, file string) (isValue, secret bool) {
		return file == clanSecret || file == clanValue, file == clanSecret
	})
}

// Generators gives every generator that has a folder.
func (c *Clan) Generators() ([]Ref, error) {
	places, err := c.places(varsDir)
	if err != nil {
		return nil, err
	}
	return c.generators(places)
}

// Others are what lies in sops/secrets: the private keys of machines, and
// secrets that people put there.
func (c *Clan) Others() (refs []Ref, err error) {
	names, err := c.readDir(clanSecrets, "secret")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		ref := SecretRef(name)
		exists, err := c.Exists(ref)
		if err != nil {
			return nil, err
		}
		if exists {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, compareRefs)
	return refs, nil
}

// Belongings are the files and folders that are a machine's alone.
func (c *Clan) Belongings(machine string) ([]string, error) {
	return []string{
		path.Join(machinesDir, machine), path.Join(clanSecrets, machine+clanKeySuffix), path.Join(varsPerMachine, machine),
	}, checkName("machine", machine)
}

// Machines are the names of all machines with a public or a private key.
func (c *Clan) Machines() (names []string, err error) {
	folders, err := c.readDir(machinesDir, "machine")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		has, err := c.isFile(path.Join(machinesDir, folder, keyName))
		if err != nil {
			return nil, err
		}
		if has {
			names = append(names, folder)
		}
	}
	others, err := c.Others()
	for _, ref := range others {
		if ref.IsKey() {
			names = append(names, ref.Machine)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// Users are all users but the one who stands for the recovery key.
func (c *Clan) Users() ([]Holder, error) {
	users, err := c.people.Users()
	return slices.DeleteFunc(users, func(user Holder) bool { return user.Name == clanRecovery }), err
}

// Recovery is the user of that name: clan knows no recovery key, but keeps the
// links to it.
func (c *Clan) Recovery() (Holder, error) {
	keys, err := c.readKeys(c.RecoveryKeyPath())
	if err != nil && !isMissing(err) {
		return Holder{}, err
	}
	return Holder{Name: "the recovery key", Keys: keys}, nil
}

// RecoveryKeyPath is the key.json of the recovery key.
func (c *Clan) RecoveryKeyPath() string { return path.Join(usersDir, clanRecovery, keyName) }

// Groups are those in sops/groups.
func (c *Clan) Groups() (groups []Group, err error) {
	names, err := c.readDir(groupsDir, "group")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		group := Group{Name: name}
		if group.Users, err = c.links(path.Join(groupsDir, name, linkUsers)); err != nil {
			return nil, err
		}
		if group.Machines, err = c.links(path.Join(groupsDir, name, linkMachines)); err != nil {
			return nil, err
		}
		groups = append(groups, group)
	}
	return groups, nil
}
