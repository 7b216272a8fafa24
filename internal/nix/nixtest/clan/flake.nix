# A fleet of the real clan-core without a network: @REPOS@ holds repositories of
# what there are checkouts of, and the rest is the stub. The fleet is in fleet.nix.
{
  inputs = {
    nixpkgs.url = "git+file://@REPOS@/nixpkgs.git";
    stub.url = "git+file://@REPOS@/stub.git";
    systems = {
      url = "git+file://@REPOS@/systems.git";
      flake = false;
    };
    nix-darwin = {
      url = "git+file://@REPOS@/nix-darwin.git";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    clan-core = {
      url = "git+file://@REPOS@/clan-core.git";
      inputs = {
        nixpkgs.follows = "nixpkgs";
        nix-darwin.follows = "nix-darwin";
        flake-parts.url = "git+file://@REPOS@/flake-parts.git";
        flake-parts.inputs.nixpkgs-lib.follows = "nixpkgs";
        sops-nix.url = "git+file://@REPOS@/sops-nix.git";
        sops-nix.inputs.nixpkgs.follows = "nixpkgs";
        systems.follows = "systems";
        data-mesher.follows = "stub";
        disko.follows = "stub";
        nix-select.follows = "stub";
        treefmt-nix.follows = "stub";
      };
    };
  };

  outputs =
    { self, clan-core, ... }:
    let
      clan = clan-core.lib.clan {
        inherit self;
        checks.minNixpkgsVersion.ignore = true;
        imports = [ ./fleet.nix ];
      };
    in
    {
      inherit (clan.config) clanInternals nixosConfigurations darwinConfigurations;
      clan = clan.config;
    };
}
