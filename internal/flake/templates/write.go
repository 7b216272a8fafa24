package templates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/environ"
	"github.com/crs58/fleet/internal/flake/core"
	"github.com/crs58/fleet/testdata"
)

// Options say what Write writes, and where.
type Options struct {
	// Name is one of Names.
	Name string
	// Folder is absolute; it is made when missing.
	Folder string
	// Inputs replaces the references of flake inputs, by name.
	Inputs map[string]string
	// Path is the PATH that programs are looked up in.
	Path string
}

// Names lists the templates.
func Names() []string { return []string{"demo", "minimal"} }

// toolsPlaceholder stands in the demo's flake for the folder with the sops
// program that its machines decrypt their secrets with.
const toolsPlaceholder = "@tools@"

// Write writes a template into a folder, makes the folder a git repository
// where it is in none, and tells git of the new files, because a flake sees
// only those. Nothing that exists is overwritten; after an error nothing that
// was written stays. It returns the files' names, relative to the folder.
func Write(ctx context.Context, opts Options) ([]string, error) {
	if !slices.Contains(Names(), opts.Name) {
		return nil, fmt.Errorf("there is no template %q; there are %s", opts.Name, strings.Join(Names(), ", "))
	}
	files, err := collect(opts)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(opts.Folder, name)); err == nil {
			return nil, fmt.Errorf("%s exists in %s already; choose an empty folder", name, opts.Folder)
		}
	}
	var undo []string
	for _, name := range names {
		target := filepath.Join(opts.Folder, name)
		if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			err = create(target, files[name])
		}
		if err != nil {
			break
		}
		undo = append(undo, target)
	}
	if err == nil && opts.Name == "demo" {
		err = placeTools(opts)
	}
	if err == nil {
		err = track(ctx, opts, names)
	}
	if err != nil {
		for _, target := range undo {
			_ = os.Remove(target)
		}
		return nil, fmt.Errorf("cannot write the template into %s: %w", opts.Folder, err)
	}
	return names, nil
}

func create(target string, content []byte) error {
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// collect gathers the files of a template. The demo brings its inputs along: it
// works without a network.
func collect(opts Options) (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(tree fs.FS, root, below string) error {
		return fs.WalkDir(tree, root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
			if entry.IsDir() {
				if rel == "tests" || rel == "testdata" {
					return fs.SkipDir
				}
				return nil
			}
			content, err := fs.ReadFile(tree, name)
			files[path.Join(below, rel)] = content
			return err
		})
	}
	err := add(FS, opts.Name, "")
	if opts.Name == "demo" {
		for _, input := range []string{"nixpkgs", "nix-darwin", "home-manager"} {
			err = errors.Join(err, add(testdata.Nix, input, "vendor/"+input))
		}
		err = errors.Join(err, add(core.FS, ".", "vendor/fleet"))
	}
	if err != nil {
		return nil, err
	}
	flake := bytes.ReplaceAll(files["flake.nix"], []byte(toolsPlaceholder), []byte(filepath.Join(opts.Folder, ".tools")))
	for _, name := range slices.Sorted(maps.Keys(opts.Inputs)) {
		url := regexp.MustCompile(`(?m)^(\s*` + regexp.QuoteMeta(name) + `(?:\.url = | = \{\s*url = ))"[^"]*"`)
		if !url.Match(flake) {
			return nil, fmt.Errorf("the template %s has no input %q", opts.Name, name)
		}
		if strings.ContainsAny(opts.Inputs[name], "\"\\$\n") {
			return nil, fmt.Errorf("the reference of input %s has a character that no flake reference has", name)
		}
		flake = url.ReplaceAll(flake, []byte(`${1}"`+opts.Inputs[name]+`"`))
	}
	files["flake.nix"] = flake
	return files, nil
}

// placeTools puts a copy of the sops program where the demo's flake takes it
// from: outside what git tracks, for it is large.
func placeTools(opts Options) error {
	if _, replaced := opts.Inputs["tools"]; replaced {
		return nil
	}
	program, err := environ.LookPath(opts.Path, "sops")
	if err != nil {
		return errors.New("the demo's machines decrypt their secrets with the sops program, and there is none on PATH; `nix shell nixpkgs#sops` brings it, `make demo` in a checkout builds it")
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	dir := filepath.Join(opts.Folder, ".tools")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "sops"), content, 0o755)
}

func track(ctx context.Context, opts Options, names []string) error {
	git := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", opts.Folder}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
		}
		return nil
	}
	if git("rev-parse", "--is-inside-work-tree") != nil {
		if err := git("init", "--quiet"); err != nil {
			return err
		}
	}
	// With their content: what is added with intent only, `git checkout .` empties.
	return git(append([]string{"add", "--"}, names...)...)
}
