package deploy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/crs58/fleet/internal/flake"
)

func TestTakesStorePath(t *testing.T) {
	for version, want := range map[string]bool{
		"26.05.20260601.abcdef": true, "26.05": true, "26.11pre-git": true, "27.05.1\n": true,
		"26.05pre942779.abcdef": false, "25.11.1": false, "24.05": false, "": false, "26": false, "26.": false, "next.05": false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "nixos-version"), []byte(version), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := takesStorePath(dir); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
	if takesStorePath(t.TempDir()) {
		t.Error("a system without a version takes it")
	}
}

// What cannot be restarted refuses it before anything is made.
func TestNoRestart(t *testing.T) {
	folder := t.TempDir()
	root := newRootTarget(folder)
	if err := root.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, target := range []Target{root, newLocalTarget(flake.NixOS, true, nil)} {
		if err := target.Begin(t.Context(), Activation{ID: "1", Goal: Reboot, Out: "/nix"}); !errors.Is(err, errNoRestart) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("in the folder is %v, %v", left, err)
	}
}
