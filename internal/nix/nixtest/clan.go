package nixtest

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Clan makes a flake, like Flake, that evaluates the real clan-core without a
// network. Its file fleet.nix is the clan, a module; the machines are those of an
// old NixOS, which ignores options that it does not know. The folder named real,
// which FLEET_REAL is for, holds read-only checkouts: nixpkgs-tree is a whole
// nixpkgs of any age, nixpkgs.lib the current lib.
func Clan(t testing.TB, real string, files map[string]string) string {
	t.Helper()
	ours := filepath.Join(moduleRoot(t), "internal", "nix", "nixtest", "clan")
	repos := t.TempDir()
	for _, name := range []string{"clan-core", "flake-parts", "nix-darwin", "sops-nix"} {
		repository(t, filepath.Join(repos, name+".git"), filepath.Join(real, name))
	}
	nixpkgs := t.TempDir()
	copyTree(t, nixpkgs, filepath.Join(ours, "nixpkgs"))
	copyTree(t, filepath.Join(nixpkgs, "current-lib"), filepath.Join(real, "nixpkgs.lib", "lib"))
	repository(t, filepath.Join(repos, "nixpkgs.git"), filepath.Join(real, "nixpkgs-tree"), nixpkgs)

	for _, name := range []string{"stub", "systems"} {
		repository(t, filepath.Join(repos, name+".git"), filepath.Join(ours, name))
	}
	flake, err := os.ReadFile(filepath.Join(ours, "flake.nix"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"flake.nix": strings.ReplaceAll(string(flake), "@REPOS@", repos)}
	maps.Copy(all, files)
	return Flake(t, all)
}

func copyTree(t testing.TB, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// repository makes a bare repository of folders, which are only read; files of
// later ones count. Nix knows the content of a commit without looking at it;
// that of a folder it hashes in every evaluation.
func repository(t testing.TB, bare string, folders ...string) {
	t.Helper()
	if err := os.Mkdir(bare, 0o755); err != nil {
		t.Fatal(err)
	}
	Git(t, bare, "init", "-q", "--bare", "-b", "main")
	for _, folder := range folders {
		Git(t, folder, "--git-dir="+bare, "--work-tree="+folder, "add", "--force", "--ignore-removal", ".")
	}
	tree := strings.TrimSpace(Git(t, bare, "write-tree"))
	commit := strings.TrimSpace(Git(t, bare, "commit-tree", "-m", "checkout", tree))
	Git(t, bare, "update-ref", "refs/heads/main", commit)
}
