package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/crs58/fleet/internal/repository"
)

// worktree is the folder of a repository as it will be once some files are written.
// Nothing in it is read through a link that leads out.
type worktree struct {
	root    *os.Root
	pending map[string]repository.File // by path
}

func openWorktree(dir string) (worktree, error) {
	root, err := os.OpenRoot(dir)
	return worktree{root: root}, err
}

// Close releases the repository.
func (t worktree) Close() error { return t.root.Close() }

// with is the tree with more files written.
func (t worktree) with(files []repository.File) worktree {
	pending := make(map[string]repository.File, len(t.pending)+len(files))
	for name, file := range t.pending {
		pending[name] = file
	}
	for _, file := range files {
		pending[file.Path] = file
	}
	return worktree{root: t.root, pending: pending}
}

// readFile reads a file. One that is missing is [fs.ErrNotExist].
func (t worktree) readFile(name string) ([]byte, error) {
	if file, ok := t.pending[name]; ok && file.Link == "" {
		if file.Gone {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return file.Data, nil
	}
	return t.root.ReadFile(name)
}

// readKeys reads a key.json.
func (t worktree) readKeys(file string) ([]Key, error) {
	data, err := t.readFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// readHash reads a validation hash; "" if there is none.
func (t worktree) readHash(file string) (string, error) {
	hash, err := t.readFile(file)
	if isMissing(err) {
		return "", nil
	}
	return string(bytes.TrimSpace(hash)), err
}

// isFile tells whether there is a regular file; something else is an error.
func (t worktree) isFile(name string) (bool, error) {
	if file, ok := t.pending[name]; ok && file.Link == "" {
		return !file.Gone, nil
	}
	info, err := t.root.Stat(name)
	switch {
	case isMissing(err):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, errors.New(name + " is not a file: remove it")
	}
	return true, nil
}

// readLink gives where a link leads; [fs.ErrNotExist] where there is none, or
// something that is no link.
func (t worktree) readLink(name string) (string, error) {
	if file, ok := t.pending[name]; ok {
		if file.Link == "" {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
		}
		return file.Link, nil
	}
	target, err := t.root.Readlink(name)
	if errors.Is(err, syscall.EINVAL) {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	return target, err
}

// readDir gives the names in a directory that can be of the given kind, sorted:
// regular files for a file, directories for everything else. A directory that is
// missing has none.
func (t worktree) readDir(dir, kind string) ([]string, error) {
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil && !isMissing(err) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := t.root.Stat(path.Join(dir, entry.Name()))
			if err != nil {
				continue
			}
			mode = info.Mode()
		}
		fits := mode.IsDir()
		if kind == "file" {
			fits = mode.IsRegular()
		}
		if fits && checkName(kind, entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	return t.amend(dir, names, func(file repository.File, below bool) bool {
		return file.Link == "" && below == (kind != "file")
	}), nil
}

// generators lists the folders of generators below places, which are by machine.
func (t worktree) generators(places map[string]string) (refs []Ref, err error) {
	for machine, place := range places {
		names, err := t.readDir(place, "generator")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			refs = append(refs, Ref{Machine: machine, Generator: name})
		}
	}
	slices.SortFunc(refs, compareRefs)
	return refs, nil
}

// links gives the names of the links in a directory, sorted.
func (t worktree) links(dir string) ([]string, error) {
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil && !isMissing(err) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink != 0 {
			names = append(names, entry.Name())
		}
	}
	return t.amend(dir, names, func(file repository.File, below bool) bool { return file.Link != "" && !below }), nil
}

// amend adds to the names in a directory those of pending files that fit, below
// telling that they lie deeper, and takes away those that go.
func (t worktree) amend(dir string, names []string, fits func(file repository.File, below bool) bool) []string {
	for name, file := range t.pending {
		rest, in := strings.CutPrefix(name, dir+"/")
		if !in {
			continue
		}
		first, _, below := strings.Cut(rest, "/")
		switch {
		case file.Gone && !below:
			names = slices.DeleteFunc(names, func(n string) bool { return n == first })
		case !file.Gone && fits(file, below):
			names = append(names, first)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isMissing is also true of a path that goes through a file.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
