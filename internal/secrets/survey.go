package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Survey is what lies in the folders of a layout beside the values: what an
// audit looks at, and what [Layout] otherwise stops at or passes over.
type Survey struct {
	// Machines are those that have any file here, in the inventory or not.
	Machines []string
	// Damaged are the key.json files that cannot be used, and why.
	Damaged []FileError
	// Risk says how every secret could be lost at once, and what helps against it;
	// "" if nothing is known.
	Risk string
	// Dangling are symbolic links that lead nowhere or out of the repository.
	Dangling []string
	// Hidden are files with a leading dot, validation hashes aside.
	Hidden []string
}

// FileError says what is wrong with one file of the repository.
type FileError struct {
	Path string
	Err  error
}

// Survey looks at all folders of the layout. The error is about looking.
func (n *Native) Survey() (*Survey, error) {
	private, err := n.Others()
	if err != nil {
		return nil, err
	}
	return n.survey(private, n.RecoveryKeyPath(), machinesDir, "sops")
}

// Survey looks at all folders of the layout. The error is about looking.
func (c *Clan) Survey() (*Survey, error) {
	others, err := c.Others()
	if err != nil {
		return nil, err
	}
	return c.survey(others, c.RecoveryKeyPath(), varsPerMachine, "sops", "vars")
}

// survey looks at the keys and through the folders. A machine is known by its
// key, by a private key among keys, or by a folder for its values.
func (p people) survey(keys []Ref, recovery, values string, folders ...string) (*Survey, error) {
	s := &Survey{}
	for _, key := range keys {
		if key.IsKey() {
			s.Machines = append(s.Machines, key.Machine)
		}
	}
	for _, dir := range []string{machinesDir, values} {
		names, err := p.readDir(dir, "machine")
		if err != nil {
			return nil, err
		}
		s.Machines = append(s.Machines, names...)
	}
	slices.Sort(s.Machines)
	s.Machines = slices.Compact(s.Machines)

	for _, machine := range s.Machines {
		file := path.Join(machinesDir, machine, keyName)
		// A machine without a key is no damage: its key may be still to be made.
		if _, err := p.usableKeys(file); err != nil && !isMissing(err) {
			s.Damaged = append(s.Damaged, FileError{file, err})
		}
	}
	users, err := p.readDir(usersDir, "user")
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		file := path.Join(usersDir, user, keyName)
		if _, err := p.usableKeys(file); isMissing(err) {
			s.Damaged = append(s.Damaged, FileError{file, errors.New("it is missing")})
		} else if err != nil {
			s.Damaged = append(s.Damaged, FileError{file, err})
		}
	}
	_, err = p.usableKeys(recovery)
	if err != nil {
		s.Risk = "there is no recovery key: when the administrators lose their keys every secret is lost; make one that is kept offline with `fleet vars keys add --recovery --new`"
	}
	known := slices.ContainsFunc(s.Damaged, func(d FileError) bool { return d.Path == recovery })
	if err != nil && !isMissing(err) && !known {
		s.Damaged = append(s.Damaged, FileError{recovery, err})
	}
	for _, folder := range folders {
		if err := p.walk(s, folder); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// usableKeys reads a key.json that fleet can encrypt to.
func (t worktree) usableKeys(file string) ([]string, error) {
	data, err := t.readFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, err
	}
	return ageRecipients("its owner", Holder{Keys: keys})
}

// walk finds links that lead nowhere and hidden files.
func (t worktree) walk(s *Survey, folder string) error {
	err := fs.WalkDir(t.root.FS(), folder, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case isMissing(err):
			return nil
		case err != nil:
			return err
		case entry.Type()&fs.ModeSymlink != 0:
			if _, err := t.root.Stat(file); err != nil {
				s.Dangling = append(s.Dangling, file)
			}
		case !entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != hashName:
			s.Hidden = append(s.Hidden, file)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look through the values: %w", err)
	}
	return nil
}
