package vars

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// Beside the values, which are fleet's, people keep secrets in sops files of
// their own, which a .sops.yaml governs. They are found by what is in them.

const (
	rulesName = ".sops.yaml"
	// maxDocument is the size of the largest file that is looked at.
	maxDocument = 8 << 20
)

// rulesFile is a .sops.yaml of the repository.
type rulesFile struct {
	path  string
	data  []byte
	rules *secrets.Rules // nil with err
	err   error
}

// document is a sops file of somebody's own.
type document struct {
	path string
	doc  *secrets.Document // nil with err
	err  error             // why a file that should be one cannot be read
	// governed is the nearest .sops.yaml, the one that the sops program takes in
	// the file's folder; nil if there is none.
	governed *rulesFile
}

// rule is the one that says who is to read the file.
func (d *document) rule() (*secrets.Rule, error) {
	switch {
	case d.governed == nil:
		return nil, secrets.ErrNoRule
	case d.governed.err != nil:
		return nil, d.governed.err
	}
	return d.governed.rule(d.path)
}

func (r *rulesFile) rule(file string) (*secrets.Rule, error) {
	if dir := path.Dir(r.path); dir != "." {
		file = strings.TrimPrefix(file, dir+"/")
	}
	return r.rules.For(file)
}

// documents are the sops files of a repository that are not values of fleet.
type documents struct {
	rules []*rulesFile // sorted by path
	files []document   // sorted by path
	// plain are files that a rule wants encrypted and that are not; private are
	// private keys that lie there for everybody to read.
	plain, private []string
	// large were not looked at.
	large []string
}

// documents looks once at every file of the repository that git tracks, or at
// all where there is no git. What belongs to the layout of the values is left
// out, links are not followed.
func (f *Fleet) documents(ctx context.Context, r *repository.Repository) (*documents, error) {
	root, err := os.OpenRoot(f.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names, err := documentFiles(ctx, r, root)
	if err != nil {
		return nil, fmt.Errorf("look for sops files: %w", err)
	}
	d := &documents{}
	for _, name := range names {
		if path.Base(name) != rulesName {
			continue
		}
		if data, err := readDocument(root, name); err != nil {
			return nil, err
		} else if data != nil {
			file := &rulesFile{path: name, data: data}
			file.rules, file.err = secrets.ParseRules(data)
			d.rules = append(d.rules, file)
		}
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if path.Base(name) == rulesName {
			continue
		}
		data, err := readDocument(root, name)
		switch {
		case errors.Is(err, errLarge):
			d.large = append(d.large, name)
		case err != nil:
			return nil, err
		default:
			d.look(name, data)
		}
	}
	return d, nil
}

// look finds out what a file is.
func (d *documents) look(name string, data []byte) {
	governed := d.governs(name)
	var rule *secrets.Rule
	if governed != nil && governed.err == nil {
		rule, _ = governed.rule(name) // an error is told of the files that are encrypted
	}
	meant := rule != nil && !rule.General()
	if secrets.IsDocument(data) {
		var rules *secrets.Rules
		if governed != nil {
			rules = governed.rules
		}
		doc, err := secrets.ParseDocument(name, data, rules)
		// A text about sops looks like a damaged file.
		if other := (*secrets.UnsupportedError)(nil); err == nil || meant || errors.As(err, &other) {
			d.files = append(d.files, document{name, doc, err, governed})
		}
		return
	}
	switch {
	case secrets.IsPrivateKey(data):
		d.private = append(d.private, name)
	case meant && len(data) > 0 && !isAbout(name):
		d.plain = append(d.plain, name)
	}
}

// governs is the nearest .sops.yaml at or above the folder of a file.
func (d *documents) governs(name string) *rulesFile {
	var nearest *rulesFile
	for _, file := range d.rules {
		dir := path.Dir(file.path)
		if (dir == "." || strings.HasPrefix(name, dir+"/")) && (nearest == nil || len(file.path) > len(nearest.path)) {
			nearest = file
		}
	}
	return nearest
}

// isAbout tells of files that lie beside secrets and hold none.
func isAbout(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, ".git") || slices.Contains([]string{".nix", ".md", ".pub"}, path.Ext(base))
}

var errLarge = errors.New("it is too large to be looked at")

// readDocument reads a regular file; nothing of what is no file or not there.
func readDocument(root *os.Root, name string) ([]byte, error) {
	name = filepath.FromSlash(name)
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxDocument {
		return nil, errLarge
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, info.Size())
	n, err := io.ReadFull(file, data)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data[:n], nil
}

// documentFiles are the names of all files that may hold somebody's secrets, sorted: in
// git those that it tracks, and the .sops.yaml at the top in any case.
func documentFiles(ctx context.Context, r *repository.Repository, root *os.Root) (names []string, err error) {
	if !r.Tracked() {
		names, err = allFiles(root)
	} else {
		var out string
		out, err = r.Git(ctx, "ls-files", "-z")
		names = append(strings.FieldsFunc(out, func(c rune) bool { return c == 0 }), rulesName)
	}
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(secrets.Folders(), func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
	})
	slices.Sort(names)
	return slices.Compact(names), nil
}

// allFiles are all files but those in hidden folders.
func allFiles(root *os.Root) (names []string, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
