package deploy

import (
	"os"
	"path/filepath"
	"testing"
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
