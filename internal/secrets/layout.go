package secrets

import (
	"path"

	"github.com/crs58/fleet/internal/repository"
)

// Ref names one value of a fleet, or with [KeyRef] and [PlainRef] another
// encrypted file. It can be the key of a map.
type Ref struct {
	Machine   string // "" means shared
	Generator string
	File      string
	Secret    bool
}

// These stand for a generator where there is none; no generator has such a name.
const (
	keyOfMachine = "/key"
	noGenerator  = "/none"
)

// KeyRef names the private key of a machine.
func KeyRef(machine string) Ref { return Ref{Machine: machine, Generator: keyOfMachine, Secret: true} }

// IsKey tells whether this is the private key of a machine.
func (r Ref) IsKey() bool { return r.Generator == keyOfMachine }

// PlainRef names a secret that belongs to no generator.
func PlainRef(name string) Ref { return Ref{Generator: noGenerator, File: name, Secret: true} }

// IsPlain tells whether this is a secret without a generator.
func (r Ref) IsPlain() bool { return r.Generator == noGenerator }

// String is how a value is called in messages: machine/generator/file, or
// shared/generator/file. It does not tell whether it is secret.
func (r Ref) String() string {
	switch {
	case r.IsKey():
		return "the key of machine " + r.Machine
	case r.IsPlain():
		return "secret " + r.File
	}
	machine := r.Machine
	if machine == "" {
		machine = "shared"
	}
	return machine + "/" + r.Generator + "/" + r.File
}

// Layout says where the values and keys of a fleet lie in its repository, and
// who is to read them. Missing things are reported as [fs.ErrNotExist]. Names
// that cannot be part of a path are a [NameError].
type Layout interface {
	// Path is where the value lies, relative to the repository.
	Path(ref Ref) (string, error)
	// Exists tells whether the value is there, as a regular file.
	Exists(ref Ref) (bool, error)
	// Read gives the file of the value: the envelope of a secret, the value
	// itself of a public one.
	Read(ref Ref) ([]byte, error)
	// List gives every value on disk, sorted, of whatever machine.
	List() ([]Ref, error)
	// Others gives the encrypted files that are no values, sorted: the private
	// keys of machines, and secrets without a generator where the layout has them.
	Others() ([]Ref, error)

	// Generators gives every generator that has a folder, sorted, as a Ref without
	// a file: it may have a hash and no value.
	Generators() ([]Ref, error)
	// HashPath is where the validation hash of a generator lies; machine "" means shared.
	HashPath(machine, generator string) (string, error)
	// Hash reads the validation hash of a generator; "" if there is none.
	Hash(machine, generator string) (string, error)

	// Wanted is the policy: the public keys that the secret is to be encrypted
	// to, sorted. machines are those that the secret is deployed to (none for
	// deploy = false and for keys; all that use it for a shared one).
	// Administrators and the recovery key are always among them; no
	// administrator is [ErrNoAdmin].
	Wanted(ref Ref, machines []Holder) ([]string, error)
	// AdminRecipients are the public keys of those administrators who read
	// whatever is encrypted from now on, and of the recovery key, if there is one.
	AdminRecipients() ([]string, error)
	// Links gives what must be written or removed so that the links beside a
	// secret name those who read it, for nobody that there are none; nothing in a
	// layout without links.
	Links(ref Ref, recipients []string) ([]repository.File, error)

	// Machines are the names of all machines that have a key in the repository,
	// be it only a public or only a private one, sorted.
	Machines() ([]string, error)
	// Machine reads the public key of a machine; a missing one is [ErrNoMachineKey].
	Machine(name string) (Holder, error)
	// Belongings are the files and folders that are a machine's alone; they need
	// not exist.
	Belongings(machine string) ([]string, error)
	// MachineKeyPath is the key.json of a machine.
	MachineKeyPath(machine string) (string, error)

	// Users are the administrators, sorted by name.
	Users() ([]Holder, error)
	// UserKeyPath is the key.json of an administrator; [ErrInFlake] where there is
	// none.
	UserKeyPath(user string) (string, error)
	// Groups are named sets of readers; none in a layout without.
	Groups() ([]Group, error)
	// Recovery is the recovery key; it has no keys if there is none.
	Recovery() (Holder, error)
	// RecoveryKeyPath is the key.json of the recovery key; empty where there cannot
	// be one.
	RecoveryKeyPath() string

	// Survey looks for what is wrong with the folders as such.
	Survey() (*Survey, error)

	// With is the layout as it will be once the files are written.
	With(files []repository.File) Layout

	// Close releases the repository.
	Close() error
}

// Folders are those that belong to the values of a fleet, in whatever layout.
func Folders() []string { return []string{"sops", varsDir, ageSecrets, path.Dir(ageMachines)} }
