package secrets

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Kind is the kind of a layout.
type Kind string

// The kinds of layout. An empty Kind is that of a repository without values.
const (
	KindNative Kind = "native"
	KindClan   Kind = "clan"
	// KindAge is clan's too, with another store of secrets.
	KindAge Kind = "age"
)

// MixedError says that a repository has values in the native layout and in one
// of clan.
type MixedError struct {
	Native, Clan string // a folder of each
}

func (e *MixedError) Error() string {
	return fmt.Sprintf("there are values in two layouts, in %s and in %s: restore one of them from git, or remove what is not used any more", e.Native, e.Clan)
}

// Detect tells in which layout the values of a repository lie; [MixedError] if
// in both. The evaluation core decides by the same folders. Which store of
// secrets a clan has its flake says; here it is age as soon as that has any.
func Detect(dir string) (Kind, error) {
	t, err := openWorktree(dir)
	if err != nil {
		return "", err
	}
	defer t.root.Close()
	age := t.first(ageMachines, path.Join(ageSecrets, perMachine), path.Join(ageSecrets, shared))
	clan := cmp.Or(age, t.first(varsPerMachine, varsShared))
	native := t.first(sharedDir, keysDir)
	if native == "" {
		machines, err := t.readDir(machinesDir, "machine")
		if err != nil {
			return "", err
		}
		for _, machine := range machines {
			if native = t.first(path.Join(machinesDir, machine, secretsName), path.Join(machinesDir, machine, factsName)); native != "" {
				break
			}
		}
	}
	switch {
	case native != "" && clan != "":
		return "", &MixedError{Native: native, Clan: clan}
	case age != "":
		return KindAge, nil
	case clan != "":
		return KindClan, nil
	case native != "":
		return KindNative, nil
	}
	return "", nil
}

// InOtherStore gives where a secret lies that the other of clan's two stores keeps;
// "" if it does not.
func InOtherStore(l Layout, ref Ref) (file string, err error) {
	var there bool
	switch l := l.(type) {
	case *Age:
		if file, err = (&Clan{}).Path(ref); err == nil {
			there, err = l.isFile(file)
		}
	case *Clan:
		if file, err = (&Age{}).Path(ref); err == nil {
			there, err = l.isFile(file)
		}
	}
	if err != nil || !there {
		return "", err
	}
	return file, nil
}

// first gives the first of the folders that exists and is not empty.
func (t worktree) first(folders ...string) string {
	for _, folder := range folders {
		entries, err := fs.ReadDir(t.root.FS(), folder)
		for _, entry := range entries {
			if err == nil && !strings.HasPrefix(entry.Name(), ".") {
				return folder
			}
		}
	}
	return ""
}

// OpenLayout opens the repository at dir in the layout of a kind; [OpenAge] is for
// when the flake is at hand.
func OpenLayout(dir string, kind Kind, o ClanOptions) (Layout, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	switch kind {
	case KindClan:
		return OpenClan(dir, o)
	case KindAge:
		return OpenAge(dir, AgeOptions{})
	}
	return OpenNative(dir)
}
