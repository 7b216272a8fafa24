# The demo fleet: four Macs and four servers, all of which are folders below
# .roots/. It needs no network: nixpkgs and the rest lie in vendor/.
{
  description = "The fleet's demo: eight machines in one folder";

  inputs = {
    nixpkgs.url = "path:./vendor/nixpkgs";
    nixpkgs.inputs.tools.follows = "tools";

    nix-darwin.url = "path:./vendor/nix-darwin";
    nix-darwin.inputs.nixpkgs.follows = "nixpkgs";

    home-manager.url = "path:./vendor/home-manager";
    home-manager.inputs.nixpkgs.follows = "nixpkgs";

    fleet.url = "path:./vendor/fleet";

    # A folder with the static program `sops`, which the machines decrypt with.
    tools.url = "path:@tools@";
    tools.flake = false;
  };

  # An attribute set written out: Nix 2.26 looks for inputs that lie in this very
  # folder through the outputs, which must therefore be there before them.
  outputs =
    inputs:
    let
      outputs = inputs.fleet.lib.mkFleet {
        inherit inputs;
        imports = inputs.fleet.lib.importTree ./modules;
      };
    in
    {
      inherit (outputs)
        darwinConfigurations
        fleet
        modules
        nixosConfigurations
        ;
    };
}
