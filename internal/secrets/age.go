package secrets

import (
	"fmt"
	"path"
	"slices"

	"github.com/crs58/fleet/internal/repository"
)

// Age is the layout of clan-core where vars.settings.secretStore is "age"; its
// program reads and writes the same files:
//
//	secrets/clan-vars/per-machine/<m>/<g>/<f>/<f>.age
//	secrets/clan-vars/shared/<g>/<f>/<f>.age
//	…/<f>.age.recipients                          who reads it; not where that is its machine alone
//	secrets/age-keys/machines/<m>/pub             the public key of the machine
//	secrets/age-keys/machines/<m>/key.age         its private key, with key.age.recipients
//	vars/…                                        public values and hashes, as in [Clan]
//
// A secret is encrypted to the machines that it is deployed to and to nobody
// else: the administrators read the keys of these. Who they are the flake says,
// and no file (vars.settings.recipients); they have no names. It can be used by
// several goroutines at once. Source: clan-core, pkgs/clan-cli,
// clan_lib/vars/secret_modules/age.py.
type Age struct {
	worktree
	opts AgeOptions
	keys *openedKeys
}

var (
	_ Layout = (*Age)(nil)
	_ sealer = (*Age)(nil)
)

// AgeOptions is what only the flake tells. Where it tells nothing of a secret,
// those are to read it who do.
type AgeOptions struct {
	// Recipients are the public keys that read the key of a machine, and those of
	// its secrets that are not deployed, by machine (vars.settings.recipients).
	Recipients map[string][]string
	// Sharing are the machines that declare a shared generator, by generator.
	Sharing map[string][]string
	// Whole says that these are all machines of the fleet.
	Whole bool
}

const (
	ageSecrets  = "secrets/clan-vars"
	ageMachines = "secrets/age-keys/machines"
	agePublic   = "pub"
	agePrivate  = "key" + ageSuffix
	ageSuffix   = ".age"
	noteSuffix  = ".recipients"
)

// OpenAge opens the repository at dir, the folder that holds vars/ and secrets/.
func OpenAge(dir string, o AgeOptions) (*Age, error) {
	t, err := openWorktree(dir)
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	return &Age{t, o, &openedKeys{}}, nil
}

// With is the layout as it will be once the files are written.
func (a *Age) With(files []repository.File) Layout { return &Age{a.with(files), a.opts, a.keys} }

// Path is where the value lies, relative to the repository.
func (a *Age) Path(ref Ref) (string, error) {
	switch {
	case ref.IsKey():
		dir, err := ageMachineDir(ref.Machine)
		return path.Join(dir, agePrivate), err
	case ref.IsPlain():
		return "", &NameError{Kind: "generator", Reason: "secrets without a generator are no part of this layout"}
	case !ref.Secret:
		return (&Clan{}).Path(ref)
	}
	if err := checkName("file", ref.File); err != nil {
		return "", err
	}
	if err := checkName("generator", ref.Generator); err != nil {
		return "", err
	}
	dir, err := clanPlace(ageSecrets, ref.Machine)
	return path.Join(dir, ref.Generator, ref.File, ref.File+ageSuffix), err
}

func ageMachineDir(machine string) (string, error) {
	return path.Join(ageMachines, machine), checkName("machine", machine)
}

// HashPath is where the validation hash of a generator lies.
func (a *Age) HashPath(machine, generator string) (string, error) {
	return (&Clan{}).HashPath(machine, generator)
}

// Hash reads the validation hash of a generator; "" if there is none.
func (a *Age) Hash(machine, generator string) (string, error) {
	file, err := a.HashPath(machine, generator)
	if err != nil {
		return "", err
	}
	return a.readHash(file)
}

// Exists tells whether the value is there, as a regular file.
func (a *Age) Exists(ref Ref) (bool, error) {
	file, err := a.Path(ref)
	if err != nil {
		return false, err
	}
	return a.isFile(file)
}

// Read gives the file of the value.
func (a *Age) Read(ref Ref) ([]byte, error) {
	file, err := a.Path(ref)
	if err != nil {
		return nil, err
	}
	return a.readFile(file)
}

// List gives every value on disk, sorted. What could not be a value because of
// its name or kind is left out.
func (a *Age) List() ([]Ref, error) {
	public, err := a.listValues(varsDir, func(_, file string) (isValue, secret bool) { return file == clanValue, false })
	if err != nil {
		return nil, err
	}
	secret, err := a.listValues(ageSecrets, func(folder, file string) (isValue, secret bool) { return file == folder+ageSuffix, true })
	refs := append(public, secret...)
	slices.SortFunc(refs, compareRefs)
	return refs, err
}

// Generators gives every generator that has a folder for public or for secret
// values.
func (a *Age) Generators() (refs []Ref, err error) {
	for _, root := range []string{varsDir, ageSecrets} {
		places, err := a.places(root)
		if err != nil {
			return nil, err
		}
		some, err := a.generators(places)
		if err != nil {
			return nil, err
		}
		refs = append(refs, some...)
	}
	slices.SortFunc(refs, compareRefs)
	return slices.Compact(refs), nil
}

// Others are the private keys of machines.
func (a *Age) Others() (refs []Ref, err error) {
	names, err := a.readDir(ageMachines, "machine")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		exists, err := a.Exists(KeyRef(name))
		if err != nil {
			return nil, err
		}
		if exists {
			refs = append(refs, KeyRef(name))
		}
	}
	return refs, nil
}

// Machines are the names of all machines with a public or a private key.
func (a *Age) Machines() (names []string, err error) {
	folders, err := a.readDir(ageMachines, "machine")
	if err != nil {
		return nil, err
	}
	for _, name := range folders {
		for _, file := range []string{agePublic, agePrivate} {
			has, err := a.isFile(path.Join(ageMachines, name, file))
			if err != nil {
				return nil, err
			}
			if has {
				names = append(names, name)
				break
			}
		}
	}
	return names, nil
}

// Belongings are the folders that are a machine's alone.
func (a *Age) Belongings(machine string) ([]string, error) {
	return []string{
		path.Join(ageMachines, machine), path.Join(ageSecrets, perMachine, machine), path.Join(varsPerMachine, machine),
	}, checkName("machine", machine)
}

// Machine reads the public key of a machine.
func (a *Age) Machine(name string) (Holder, error) {
	file, err := a.MachineKeyPath(name)
	if err != nil {
		return Holder{}, err
	}
	keys, err := a.readKeys(file)
	if isMissing(err) {
		return Holder{}, fmt.Errorf("machine %s: %w", name, ErrNoMachineKey)
	}
	return Holder{Name: name, Keys: keys}, err
}

// MachineKeyPath is the file with the public key of a machine.
func (a *Age) MachineKeyPath(machine string) (string, error) {
	dir, err := ageMachineDir(machine)
	return path.Join(dir, agePublic), err
}

// UserKeyPath is no place: see [ErrInFlake].
func (a *Age) UserKeyPath(string) (string, error) { return "", ErrInFlake }

// Groups are none here.
func (a *Age) Groups() ([]Group, error) { return nil, nil }

// Recovery is none here: a recovery key is one more of the recipients.
func (a *Age) Recovery() (Holder, error) { return Holder{Name: "the recovery key"}, nil }

// RecoveryKeyPath is empty: see [ErrInFlake].
func (a *Age) RecoveryKeyPath() string { return "" }

// Links gives nothing but what lies beside a secret that goes: the note of its
// readers. [Seal] writes it.
func (a *Age) Links(ref Ref, recipients []string) ([]repository.File, error) {
	if len(recipients) > 0 || !ref.Secret {
		return nil, nil
	}
	note, err := a.notePath(ref)
	if err != nil {
		return nil, err
	}
	if there, err := a.isFile(note); err != nil || !there {
		return nil, err
	}
	return []repository.File{{Path: note, Gone: true}}, nil
}

// Survey looks at all folders of the layout. The error is about looking.
func (a *Age) Survey() (*Survey, error) {
	s := &Survey{}
	for _, dir := range []string{ageMachines, path.Join(ageSecrets, perMachine), varsPerMachine} {
		names, err := a.readDir(dir, "machine")
		if err != nil {
			return nil, err
		}
		s.Machines = append(s.Machines, names...)
	}
	slices.Sort(s.Machines)
	s.Machines = slices.Compact(s.Machines)
	for _, machine := range s.Machines {
		file := path.Join(ageMachines, machine, agePublic)
		if _, err := a.usableKeys(file); err != nil && !isMissing(err) {
			s.Damaged = append(s.Damaged, FileError{file, err})
		}
	}
	admins, err := a.Users()
	if err != nil {
		return nil, err
	}
	if len(admins) == 1 {
		s.Risk = "there is one key that reads the keys of all machines: when it is lost every secret is lost; make another with `age-keygen` and keep it offline, add its public key to vars.settings.recipients in the flake, and run `fleet vars fix`"
	}
	for _, folder := range []string{path.Dir(ageMachines), ageSecrets, varsDir} {
		if err := a.walk(s, folder); err != nil {
			return nil, err
		}
	}
	return s, nil
}
