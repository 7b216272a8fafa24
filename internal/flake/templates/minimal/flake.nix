# A fleet of machines, run by `fleet`.
#
#   fleet inventory show          what the fleet consists of
#   fleet vars keys init          an admin key for you, if you have none
#   fleet vars generate server    the secrets that server needs
#   fleet host bootstrap server   the first deployment
#   fleet machines update --all   every one after that
#   fleet verify                  the gate, for CI too
#
# Everything below modules/ is a module of this flake: a file can be put
# anywhere there, split or renamed. What begins with `_` is left out.
{
  description = "A fleet of machines";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

    flake-parts.url = "github:hercules-ci/flake-parts";
    flake-parts.inputs.nixpkgs-lib.follows = "nixpkgs";

    import-tree.url = "github:vic/import-tree";

    fleet.url = "github:crs58/fleet";

    # For Macs: machineClass = "darwin".
    # nix-darwin.url = "github:nix-darwin/nix-darwin";
    # nix-darwin.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    inputs:
    inputs.flake-parts.lib.mkFlake { inherit inputs; } {
      imports = [
        inputs.fleet.flakeModules.default
        (inputs.import-tree ./modules)
      ];

      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
    };
}
