package nixtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Env is the environment in which tests run the real Nix: the project's own
// nix, its settings, and a home that is empty. A machine without Nix fails the
// test.
func Env(t testing.TB) []string {
	t.Helper()
	root := moduleRoot(t)
	path := filepath.Join(root, ".cache", "bin") + string(filepath.ListSeparator) + os.Getenv("PATH")
	if _, err := os.Stat(filepath.Join(root, ".cache", "bin", "nix")); err != nil {
		if _, err := exec.LookPath("nix"); err != nil {
			t.Fatal("there is no nix to test with: run .ci/setup")
		}
	}
	home := t.TempDir()
	return []string{
		"PATH=" + path,
		"NIX_CONF_DIR=" + filepath.Join(root, ".ci", "nix"),
		"HOME=" + home,
		"XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CONFIG_NOSYSTEM=1",
	}
}

// Flake makes a git work tree with the files, by their relative paths, all of
// them known to git and none committed. It returns the folder.
func Flake(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	Write(t, dir, files)
	Git(t, dir, "init", "-q", "-b", "main")
	Git(t, dir, "add", ".")
	return dir
}

// Write makes or replaces files below dir.
func Write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Git runs git in dir, as the same author at the same time always, so that
// commits have the same name in every run.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = append(
		os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.org", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
	)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// moduleRoot is the folder of go.mod, from where this file was compiled.
func moduleRoot(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the source of nixtest is not known")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(file))))
}
