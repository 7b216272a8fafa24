package nix_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

// Every kind of edit that Nix sees changes the fingerprint, and none that it
// does not see.
func TestFingerprint(t *testing.T) {
	dir := nixtest.Flake(t, map[string]string{
		"flake.nix": "{ outputs = _: { v = 1; }; }", "sub/flake.nix": "{ outputs = _: { v = 2; }; }", "a file\twith ünusual name": "x", ".gitignore": "ignored\n",
	})
	c := nix.New(nix.Options{Env: nixtest.Env(t)})
	fingerprint := func(dir string) string {
		t.Helper()
		got, err := c.Fingerprint(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seen := map[string]string{}
	step := func(name string, changes bool, edit func()) {
		t.Helper()
		before := fingerprint(dir)
		edit()
		after := fingerprint(dir)
		if (before != after) != changes {
			t.Errorf("%s: changed is %v", name, before != after)
		}
		if earlier, ok := seen[after]; ok && changes {
			t.Errorf("%s: as %s", name, earlier)
		}
		seen[after] = name
		if again := fingerprint(dir); again != after {
			t.Errorf("%s: not stable", name)
		}
	}
	write := func(name, content string) func() {
		return func() { nixtest.Write(t, dir, map[string]string{name: content}) }
	}
	git := func(args ...string) func() { return func() { nixtest.Git(t, dir, args...) } }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step("edit before the first commit", true, write("flake.nix", "{ outputs = _: { v = 10; }; }"))
	step("commit", true, git("commit", "-q", "-a", "-m", "one"))
	step("edit", true, write("flake.nix", "{ outputs = _: { v = 3; }; }"))
	step("edit again, same size", true, write("flake.nix", "{ outputs = _: { v = 4; }; }"))
	step("stage", true, git("add", "."))
	step("edit what is staged", true, write("flake.nix", "{ outputs = _: { v = 5; }; }"))
	step("unusual name", true, write("a file\twith ünusual name", "y"))
	step("untracked file", false, write("new.nix", "1"))
	step("ignored file", false, write("ignored", "1"))
	step("added with intent", true, git("add", "-N", "new.nix"))
	step("edit what is added with intent", true, write("new.nix", "2"))
	step("executable", true, func() { do(os.Chmod(filepath.Join(dir, "new.nix"), 0o755)) })
	step("deleted", true, func() { do(os.Remove(filepath.Join(dir, "new.nix"))) })
	step("symlink", true, func() { do(os.Symlink("flake.nix", filepath.Join(dir, "new.nix"))) })
	step("symlink elsewhere", true, func() {
		do(os.Remove(filepath.Join(dir, "new.nix")))
		do(os.Symlink("sub/flake.nix", filepath.Join(dir, "new.nix")))
	})
	step("rename", true, git("mv", "a file\twith ünusual name", "b"))
	step("commit all", true, git("commit", "-q", "-a", "-m", "two"))
	step("amend", true, git("commit", "-q", "--amend", "-m", "three"))

	if a, b := fingerprint(dir), fingerprint(filepath.Join(dir, "sub")); a == b {
		t.Error("a flake in a sub-folder has the fingerprint of the one above")
	}
	link := filepath.Join(t.TempDir(), "link")
	do(os.Symlink(dir, link))
	if fingerprint(dir) != fingerprint(link) {
		t.Error("the fingerprint differs through a symlink")
	}
	worktree := filepath.Join(t.TempDir(), "tree")
	nixtest.Git(t, dir, "worktree", "add", "-q", worktree)
	if fingerprint(dir) != fingerprint(worktree) {
		t.Error("the fingerprint differs in another work tree of the commit")
	}
}

func TestFingerprintOfSubmodule(t *testing.T) {
	lib := nixtest.Flake(t, map[string]string{"x": "1"})
	nixtest.Git(t, lib, "commit", "-q", "-m", "x")
	dir := nixtest.Flake(t, map[string]string{"flake.nix": "{ outputs = _: { }; }"})
	nixtest.Git(t, dir, "-c", "protocol.file.allow=always", "submodule", "add", "-q", lib, "lib")
	nixtest.Git(t, dir, "commit", "-q", "-m", "x")
	c := nix.New(nix.Options{Env: nixtest.Env(t)})
	seen := map[string]bool{}
	for _, content := range []string{"1", "2", "3"} {
		nixtest.Write(t, dir, map[string]string{"lib/x": content})
		got, err := c.Fingerprint(t.Context(), dir)
		if err != nil || seen[got] {
			t.Errorf("lib/x = %s: %s, %v", content, got, err)
		}
		seen[got] = true
	}
	if err := os.RemoveAll(filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Fingerprint(t.Context(), dir); err != nil || seen[got] {
		t.Errorf("removed: %s, %v", got, err)
	}
}

func TestFingerprintWithoutGit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a #folder? 100%")
	nixtest.Write(t, dir, map[string]string{"flake.nix": "{ outputs = _: { }; }"})
	env := nixtest.Env(t)
	first, err := nix.New(nix.Options{Env: env}).Fingerprint(t.Context(), dir)
	if err != nil || !strings.HasPrefix(first, "nar-sha256-") {
		t.Fatalf("%s, %v", first, err)
	}
	nixtest.Write(t, dir, map[string]string{"x": "any file counts"})
	second, err := nix.New(nix.Options{Env: env}).Fingerprint(t.Context(), dir)
	if err != nil || first == second {
		t.Errorf("%s, %v", second, err)
	}
	if _, err := nix.New(nix.Options{Env: env}).Fingerprint(t.Context(), filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that does not exist has a fingerprint")
	}
}

// Without the git program, and in a folder that only looks like a work tree,
// Nix is asked.
func TestFingerprintWithoutGitProgram(t *testing.T) {
	env := nixtest.Env(t)
	nixOnly := t.TempDir()
	for _, dir := range filepath.SplitList(strings.TrimPrefix(env[0], "PATH=")) {
		if target := filepath.Join(dir, "nix"); exists(target) {
			if err := os.Symlink(target, filepath.Join(nixOnly, "nix")); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	c := nix.New(nix.Options{Env: append([]string{"PATH=" + nixOnly}, env[1:]...)})
	dir := nixtest.Flake(t, map[string]string{"sub/flake.nix": "{ outputs = _: { }; }"})
	first, err := c.Fingerprint(t.Context(), filepath.Join(dir, "sub"))
	if err != nil || !strings.HasPrefix(first, "nar-sha256-") {
		t.Fatalf("%s, %v", first, err)
	}
	nixtest.Write(t, dir, map[string]string{"untracked": "x"})
	if again, err := c.Fingerprint(t.Context(), filepath.Join(dir, "sub")); err != nil || again != first {
		t.Errorf("untracked: %s, %v", again, err)
	}
	nixtest.Write(t, dir, map[string]string{"sub/flake.nix": "{ outputs = _: { v = 1; }; }"})
	if edited, err := c.Fingerprint(t.Context(), filepath.Join(dir, "sub")); err != nil || edited == first {
		t.Errorf("edited: %s, %v", edited, err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func BenchmarkFingerprint(b *testing.B) {
	for name, dirty := range map[string]bool{"clean": false, "dirty": true} {
		b.Run(name, func(b *testing.B) {
			dir := newFlake(b)
			nixtest.Git(b, dir, "commit", "-q", "-m", "x")
			if dirty {
				nixtest.Write(b, dir, map[string]string{"hosts/bad.nix": "1"})
			}
			c := nix.New(nix.Options{Env: nixtest.Env(b)})
			for b.Loop() {
				if _, err := c.Fingerprint(b.Context(), dir); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEval(b *testing.B) {
	dir := newFlake(b)
	c := newCLI(b, dir)
	for b.Loop() {
		if err := c.Eval(b.Context(), nix.EvalRequest{Installable: ".#value"}, new(any)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvalKey(b *testing.B) {
	dir := newFlake(b)
	c := newCLI(b, dir)
	for b.Loop() {
		if _, err := c.EvalKey(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
}
