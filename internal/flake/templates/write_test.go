package templates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake/templates"
)

// tools is a PATH with git and something that passes for the sops program.
func tools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sops"), []byte("static"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new/fleet")
	files, err := templates.Write(t.Context(), templates.Options{
		Name: "demo", Folder: folder, Path: tools(t),
		Inputs: map[string]string{"nixpkgs": "github:NixOS/nixpkgs"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tracked, err := exec.Command("git", "-C", folder, "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(tracked)); len(got) != len(files) {
		t.Errorf("git knows %d of %d files", len(got), len(files))
	}
	flake, err := os.ReadFile(filepath.Join(folder, "flake.nix"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`nixpkgs.url = "github:NixOS/nixpkgs";`, `tools.url = "path:` + folder + `/.tools";`, `nix-darwin.url = "path:./vendor/nix-darwin";`} {
		if !strings.Contains(string(flake), want) {
			t.Errorf("flake.nix lacks %s", want)
		}
	}
	if sops, err := os.ReadFile(filepath.Join(folder, ".tools/sops")); err != nil || string(sops) != "static" {
		t.Errorf("the sops program is not there: %v", err)
	}
}

func TestWriteChangesNothingOnError(t *testing.T) {
	for _, tt := range []struct {
		name, err string
		opts      templates.Options
	}{
		{"unknown template", "there are demo, minimal", templates.Options{Name: "maximal"}},
		{"unknown input", `has no input "nixpgks"`, templates.Options{Name: "minimal", Inputs: map[string]string{"nixpgks": "x"}}},
		{"odd reference", "no flake reference has", templates.Options{Name: "minimal", Inputs: map[string]string{"nixpkgs": `x"; evil = "`}}},
		{"existing file", "flake.nix exists", templates.Options{Name: "minimal"}},
		{"no sops", "`nix shell nixpkgs#sops` brings it", templates.Options{Name: "demo", Path: "/nonexistent"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Folder = t.TempDir()
			before := 0
			if tt.name == "existing file" {
				before = 1
				if err := os.WriteFile(filepath.Join(tt.opts.Folder, "flake.nix"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := templates.Write(t.Context(), tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("got %v, want an error with %q", err, tt.err)
			}
			left := 0
			_ = filepath.WalkDir(tt.opts.Folder, func(_ string, d os.DirEntry, _ error) error {
				if !d.IsDir() {
					left++
				}
				return nil
			})
			if left != before {
				t.Errorf("%d files are left, there were %d", left, before)
			}
		})
	}
}
