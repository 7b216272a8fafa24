# What a flake gets from this project. It needs no input of its own: nixpkgs'
# lib is taken from the inputs that the caller hands over.
{
  lib = {
    # mkFleet { inputs, imports ? [ ], directory ? inputs.self, specialArgs ? { } }:
    # the outputs of a flake that runs a fleet.
    mkFleet = import ./mk-fleet.nix;

    # importTree dir: every Nix file below dir, as a list for `imports`.
    importTree = import ./lib/import-tree.nix;
  };

  # The same for a flake that is made by flake-parts.
  flakeModules.default = ./flake-module.nix;

  # For the machines of a flake that is made in another way: fleet.health, and
  # the unit that settles a deploy after a reboot.
  nixosModules.default = ./machine/deploy;
  darwinModules.default = ./machine/deploy;
}
