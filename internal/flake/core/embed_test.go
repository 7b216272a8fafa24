package core_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake/core"
)

// What is embedded is the whole core, and nothing that only tests need.
func TestEmbedded(t *testing.T) {
	var onDisk, embedded []string
	walk := func(tree fs.FS, names *[]string) {
		t.Helper()
		err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() && path == "testdata" {
				return fs.SkipDir
			}
			if !entry.IsDir() && filepath.Ext(path) != ".go" {
				*names = append(*names, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(os.DirFS("."), &onDisk)
	walk(core.FS, &embedded)
	if got, want := strings.Join(embedded, "\n"), strings.Join(onDisk, "\n"); got != want {
		t.Errorf("embedded are\n%s\nbut the folder has\n%s", got, want)
	}
}

// The flake at the root and the one here offer the same, without any input.
func TestFlakes(t *testing.T) {
	for _, file := range []string{"flake.nix", "../../../flake.nix"} {
		got, err := nix(t, "eval", "--impure", "--json", "--expr",
			"let f = import "+absolute(t, file)+"; o = f.outputs { }; in [ (f.inputs or { }) (builtins.attrNames o.lib) (builtins.attrNames o.flakeModules) ]")
		if err != nil {
			t.Fatal(err)
		}
		if want := `[{},["importTree","mkFleet"],["default"]]` + "\n"; string(got) != want {
			t.Errorf("%s offers %s, want %s", file, got, want)
		}
	}
}

// The harness of the other tests is no flake: this is one, locked and evaluated
// purely, with the core as its input.
func TestAsInput(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "flake.nix"), fmt.Appendf(nil, `{
		inputs.nixpkgs.url = "path:%s";
		inputs.fleet.url = "path:%s";
		outputs = inputs: inputs.fleet.lib.mkFleet {
			inherit inputs;
			imports = inputs.fleet.lib.importTree ./modules;
		};
	}`, absolute(t, "../../../testdata/nixpkgs"), absolute(t, ".")))
	write(t, filepath.Join(dir, "modules/a.nix"), []byte(`
		{ config, inputs, self, ... }: {
			clan.machines.a = { self, inputs, config, ... }: {
				nixpkgs.hostPlatform = "x86_64-linux";
				clan.core.vars.generators.key.files = { pub.secret = false; private = { }; };
				environment.etc.key.text = config.clan.core.vars.generators.key.files.pub.value;
				environment.etc.file.source = config.clan.core.vars.generators.key.files.pub.path;
			};
		}`))
	write(t, filepath.Join(dir, "sops/machines/a/facts/key/pub"), []byte("public"))
	write(t, filepath.Join(dir, "sops/machines/a/secrets/key/private"), []byte("encrypted"))
	got, err := nix(t, "eval", "--json", "path:"+dir+"#nixosConfigurations.a.config", "--apply",
		`c: [ c.environment.etc.key.text (builtins.readFile c.environment.etc.file.source) (c.system.activationScripts ? fleetSecrets) ]`)
	if err != nil {
		t.Fatal(err)
	}
	if want := `["public","public",true]` + "\n"; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
