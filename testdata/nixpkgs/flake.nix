{
  description = "An offline nixpkgs: the part of lib that modules need, a small NixOS, a handful of packages";

  # A folder with a static `sops` program, for pkgs.sops and nothing else. A
  # consumer writes `inputs.nixpkgs.inputs.tools.follows = "tools"`.
  inputs.tools = {
    url = "path:./pkgs/no-tools";
    flake = false;
  };

  outputs =
    { self, tools }:
    let
      lib = import ./lib;
      packages = lib.genAttrs lib.systems.flakeExposed (
        system: import ./pkgs { inherit lib system tools; }
      );
    in
    {
      lib = lib.extend (
        final: _: {
          nixosSystem = import ./modules/nixos/system.nix {
            lib = final;
            nixpkgs = self;
          };
          nixos.evalModules = args: final.evalModules (args // { class = "nixos"; });
        }
      );
      legacyPackages = packages;
    };
}
