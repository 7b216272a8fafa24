package environ_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/crs58/fleet/internal/environ"
)

func TestGet(t *testing.T) {
	env := []string{"A=1", "AB=2", "A=3=4", "EMPTY=", "BARE"}
	for name, want := range map[string]string{"A": "3=4", "AB": "2", "EMPTY": "", "BARE": "", "C": ""} {
		if got := environ.Get(env, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"first/text": 0o644, "second/text": 0o755, "second/twice": 0o755, "third/twice": 0o755} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "first", "twice"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := dir + "/first:" + dir + "/second::" + dir + "/third"
	for name, want := range map[string]string{"text": "second/text", "twice": "second/twice"} {
		if got, err := environ.LookPath(path, name); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s is %s (%v), want %s", name, got, err, want)
		}
	}
	if _, err := environ.LookPath(path, "none"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
	// What is found must not depend on where somebody works.
	t.Chdir(dir + "/second")
	if got, err := environ.LookPath(".:", "text"); err == nil {
		t.Errorf("a relative folder has %s", got)
	}
}
