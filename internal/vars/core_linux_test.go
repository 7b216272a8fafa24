package vars

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

// The user's own generator, evaluated by the core, for a machine of each class:
// what the core tells is what this package needs, and the flake sees the values.
func TestGeneratorOfARealFlake(t *testing.T) {
	w := newWorld(t, nil)
	w.write("flake.nix", fmt.Sprintf(`{
  inputs.nixpkgs.url = "path:%s";
  inputs.fleet.url = "path:%s";
  outputs = inputs: inputs.fleet.lib.mkFleet { inherit inputs; imports = [ ./fleet.nix ]; };
}
`, absolute(t, "../../testdata/nixpkgs"), absolute(t, "../flake/core")))
	w.write("fleet.nix", `{
  inventory.machines.cinnabar = { };
  flake.modules.nixos."hosts/cinnabar" = { pkgs, ... }: {
    nixpkgs.hostPlatform = "x86_64-linux";
    clan.core.vars.generators.ssh-host-key = {
      prompts = { };
      files.id_ed25519 = { };
      files."id_ed25519.pub".secret = false;
      runtimeInputs = [ pkgs.openssh ];
      script = ''
        ssh-keygen -t ed25519 -f $out/id_ed25519 -N ""
      '';
    };
    clan.core.vars.generators.password = {
      prompts.word.persist = true;
      files.hash = { };
      dependencies = [ "ssh-host-key" ];
      script = "cat $prompts/word $in/ssh-host-key/id_ed25519.pub > $out/hash";
    };
  };
}
`)
	w.git("add", ".")
	cli := nix.New(nix.Options{Env: nixtest.Env(t)})
	loader := &flake.Loader{Nix: cli, EvalKey: cli.EvalKey, System: nix.System(), Workers: 1, Cache: &nix.Cache{Dir: t.TempDir()}}
	fleet, err := loader.Load(t.Context(), w.root, w.root)
	if err != nil {
		t.Fatal(err)
	}
	details, err := loader.Details(t.Context(), fleet, []string{"cinnabar"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range details.Errors() {
		t.Fatal(err)
	}
	w.fleet.Inventory, w.fleet.Machines = &fleet.Inventory, details.Details
	w.opts.Builder = cli
	w.opts.Sources.Answers = Answers{"cinnabar": {"password": {"word": "typed\n"}}}
	w.generate(Request{})

	if _, err := ssh.ParsePrivateKey([]byte(w.get("cinnabar", "ssh-host-key/id_ed25519"))); err != nil {
		t.Error(err)
	}
	public := w.get("cinnabar", "ssh-host-key/id_ed25519.pub")
	if !strings.HasPrefix(public, "ssh-ed25519 ") || !strings.HasSuffix(public, " fleet@cinnabar\n") {
		t.Errorf("the public key is %q", public)
	}
	if got := w.get("cinnabar", "password/hash"); got != "typed\n"+public {
		t.Errorf("the hash is %q", got)
	}
	if got := w.get("cinnabar", "password/word"); got != "typed\n" {
		t.Errorf("the kept answer is %q", got)
	}
	var seen string
	attr := "#nixosConfigurations.cinnabar.config.clan.core.vars.generators.ssh-host-key.files.\"id_ed25519.pub\".value"
	if err := cli.Eval(t.Context(), nix.EvalRequest{Installable: w.root + attr}, &seen); err != nil || seen != public {
		t.Errorf("the flake sees %q, %v", seen, err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
