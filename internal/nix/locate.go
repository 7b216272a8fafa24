package nix

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	storeFile   = regexp.MustCompile(`(/nix/store/[0-9a-z]{32}-[^/\s'"«»:;,()]+)(/[^\s'"«»:;,()]+)`)
	missingFile = regexp.MustCompile(`'/nix/store/[^/']+(/[^']+)'(?: does not exist|: No such file)`)
	// The words of Nix 2.34.
	untrackedFile = regexp.MustCompile(`Path '([^']+)' in the repository "[^"]*" is not tracked by Git`)
)

// locator turns positions in the store's copy of a flake into the files that
// the user edits. It knows the copies that it was told of, and recognises
// others: a store path is the copy of a local flake when the file in question
// is there, at the same place, with the same content.
type locator struct {
	dir     string            // the working folder, absolute
	sources map[string]string // store path → folder
	roots   []string          // folders of the local flakes of the request
}

// newLocator takes the flake references or installables of a request.
func newLocator(dir string, sources map[string]string, refs ...string) *locator {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	l := &locator{dir: dir, sources: map[string]string{}}
	for prefix, to := range sources {
		l.sources[strings.TrimSuffix(prefix, "/")] = l.abs(to)
	}
	for _, ref := range refs {
		if local, ok := localFlake(ref); ok {
			local = l.abs(local)
			l.roots = append(l.roots, local)
			if root, ok := gitRoot(local); ok && root != local {
				l.roots = append(l.roots, root)
			}
		}
	}
	return l
}

func (l *locator) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(l.dir, path)
}

// file maps one position's file; own says that it is the user's.
func (l *locator) file(path string) (mapped string, own bool) {
	if path == "" {
		return path, false
	}
	m := storeFile.FindStringSubmatch(path)
	if m == nil || m[0] != path {
		if filepath.IsAbs(path) {
			return display(l.dir, path), !strings.HasPrefix(path, "/nix/store/")
		}
		return path, false
	}
	if dir, ok := l.sources[m[1]]; ok {
		return display(l.dir, filepath.Join(dir, m[2])), true
	}
	for _, root := range l.roots {
		local := filepath.Join(root, m[2])
		if sameFile(path, local) {
			l.sources[m[1]] = root
			return display(l.dir, local), true
		}
	}
	return path, false
}

// text maps the files that a message mentions.
func (l *locator) text(s string) string {
	return storeFile.ReplaceAllStringFunc(s, func(path string) string {
		end := len(strings.TrimRight(path, "."))
		mapped, _ := l.file(path[:end])
		return mapped + path[end:]
	})
}

// rootMissing says whether a local flake of the request is no folder at all.
func (l *locator) rootMissing() bool {
	for _, root := range l.roots {
		if _, err := os.Stat(root); err != nil {
			return true
		}
	}
	return false
}

// named is the first file of the user that a message names.
func (l *locator) named(message string) (string, bool) {
	for _, path := range storeFile.FindAllString(message, -1) {
		if mapped, own := l.file(strings.TrimRight(path, ".")); own {
			return mapped, true
		}
	}
	return "", false
}

// unseen finds, in a message about a file that is missing from the store's copy
// of a flake, a file that the user does have: Nix sees only what git tracks.
// It returns the message with a way to mend it.
func (l *locator) unseen(message string) string {
	name := ""
	if m := missingFile.FindStringSubmatch(message); m != nil {
		name = strings.TrimPrefix(m[1], "/")
	} else if m := untrackedFile.FindStringSubmatch(message); m != nil {
		name = m[1]
	}
	if name == "" {
		return message
	}
	for _, root := range l.roots {
		local := filepath.Join(root, name)
		if _, err := os.Lstat(local); err == nil {
			return fmt.Sprintf("%s is not known to git, so Nix does not see it: run `git -C %s add %s`",
				display(l.dir, local), root, name)
		}
	}
	return message
}

func sameFile(a, b string) bool {
	left, err := os.ReadFile(a)
	if err != nil || len(left) == 0 {
		return false
	}
	right, err := os.ReadFile(b)
	return err == nil && bytes.Equal(left, right)
}

// localFlake is the folder of a flake reference or installable that names one.
func localFlake(ref string) (dir string, ok bool) {
	ref, _, _ = strings.Cut(ref, "#")
	ref, query, _ := strings.Cut(ref, "?")
	for _, scheme := range []string{"git+file://", "git+file:", "path://", "path:"} {
		if rest, found := strings.CutPrefix(ref, scheme); found {
			ref = rest
			if ref == "" {
				ref = "."
			}
			break
		}
	}
	if ref != "" && ref[0] != '.' && ref[0] != '/' || strings.HasPrefix(ref, "/nix/store/") {
		return "", false
	}
	for param := range strings.SplitSeq(query, "&") {
		if sub, found := strings.CutPrefix(param, "dir="); found && filepath.IsLocal(sub) {
			ref = filepath.Join(ref, sub)
		}
	}
	if ref == "" {
		ref = "."
	}
	return ref, true
}

// gitRoot is the top of the work tree that dir lies in, found without git.
func gitRoot(dir string) (string, bool) {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}
