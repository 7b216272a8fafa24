package vars

import (
	"fmt"
	"os"
	"path/filepath"
)

// CheckOutside refuses a folder for plain secrets, which need not exist, if it
// lies inside the flake or in any git work tree: git and the Nix store copy what
// is there.
func (f *Fleet) CheckOutside(folder string) error { return checkOutside(f.Root, folder) }

func checkOutside(root, folder string) error {
	parent, err := filepath.EvalSymlinks(filepath.Dir(folder))
	if err != nil {
		return err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	if rel, err := filepath.Rel(root, filepath.Join(parent, filepath.Base(folder))); err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("%s lies inside the flake, whose files git and the Nix store copy: name a folder outside it", folder)
	}
	for tree := parent; ; tree = filepath.Dir(tree) {
		if _, err := os.Lstat(filepath.Join(tree, ".git")); err == nil {
			return fmt.Errorf("%s lies in the git work tree %s, where a secret is soon committed: name a folder outside it", folder, tree)
		}
		if tree == filepath.Dir(tree) {
			return nil
		}
	}
}
