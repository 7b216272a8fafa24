package core_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unpack copies a template into a folder of its own.
func unpack(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "templates", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The minimal template as it is, with the real flake-parts and import-tree.
func TestMinimalTemplate(t *testing.T) {
	for _, world := range worlds(t)[1:] {
		got, err := evaluate(t, world, unpack(t, "minimal"), `f: {
			inherit (f.fleet.inventory) warnings;
			machines = builtins.mapAttrs (_: m: m.tags) f.fleet.inventory.machines;
			generators = builtins.attrNames (f.fleet.machines.server.describe { adminSystem = "x86_64-linux"; toplevel = true; }).generators;
		}`)
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"generators":["ssh-host-key"],"machines":{"server":["all","cloud","nixos"]},"warnings":[]}`
		if string(got) != want+"\n" {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The demo as it is, but for the packages, which are not in vendor/ yet: no
// warning, and every machine down to its system.
func TestDemoTemplate(t *testing.T) {
	for _, world := range worlds(t) {
		got, err := evaluate(t, world, unpack(t, "demo"), `f: {
			inherit (f.fleet.inventory) warnings;
			roles = builtins.mapAttrs (_: r: builtins.mapAttrs (_: m: m.via) r.machines) f.fleet.inventory.instances.zerotier-local.roles;
			machines = builtins.mapAttrs (name: m:
				let d = m.describe { adminSystem = "x86_64-linux"; toplevel = true; };
				in builtins.seq d.toplevel.drvPath [ d.system (toString (builtins.attrNames d.generators)) ]
			) f.fleet.machines;
			shell = f.darwinConfigurations.argentum.config.home-manager.users.crs58.programs.fish.enable;
		}`)
		if err != nil {
			t.Fatal(err)
		}
		const want = `{
			"warnings": [],
			"roles": {
				"controller": { "cinnabar": ["machine"] },
				"peer": {
					"argentum": ["tag:workstation"], "blackphos": ["tag:workstation"],
					"rosegold": ["tag:workstation"], "stibnite": ["tag:workstation"]
				}
			},
			"machines": {
				"argentum": ["aarch64-darwin", "ssh-host-key"],
				"blackphos": ["aarch64-darwin", "ssh-host-key"],
				"rosegold": ["aarch64-darwin", "ssh-host-key"],
				"stibnite": ["aarch64-darwin", "ssh-host-key"],
				"cinnabar": ["x86_64-linux", "metrics root-password ssh-ca ssh-host-certificate ssh-host-key"],
				"electrum": ["x86_64-linux", "metrics root-password ssh-ca ssh-host-certificate ssh-host-key"],
				"galena": ["x86_64-linux", "metrics root-password ssh-ca ssh-host-certificate ssh-host-key"],
				"scheelite": ["x86_64-linux", "metrics root-password ssh-ca ssh-host-certificate ssh-host-key"]
			},
			"shell": true
		}`
		if diff := cmp.Diff(decode(t, want), decode(t, string(got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", world.name, diff)
		}
	}
}

// Inputs that lie in the flake's own folder are looked for through its outputs,
// so these must be an attribute set before any input is looked at.
func TestDemoOutputsComeBeforeInputs(t *testing.T) {
	flake := filepath.Join(absolute(t, "../templates/demo"), "flake.nix")
	if _, err := nix(t, "eval", "--impure", "--json", "--expr",
		"builtins.attrNames ((import "+flake+").outputs (throw \"an input was looked at\"))"); err != nil {
		t.Error(err)
	}
}
