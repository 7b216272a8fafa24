# The inputs of a test fleet: the offline nixpkgs and its counterparts from the
# folder `offline`. With `peers`, a folder with the real ones, their lib,
# flake-parts, import-tree and sops-nix; the packages and modules stay the
# offline ones. What is in `beside` a fleet takes as an input if it wants to.
{
  offline,
  peers ? null,
  tools ? offline + "/nixpkgs/pkgs/no-tools",
}:
let
  flake =
    dir: inputs:
    let
      self = (import (dir + "/flake.nix")).outputs (inputs // { inherit self; }) // {
        inherit inputs;
        outPath = dir;
      };
    in
    self;

  ours = flake (offline + "/nixpkgs") { inherit tools; };
  real = ours // {
    lib = (import (peers + "/nixpkgs.lib/lib")).extend (
      final: _: {
        nixosSystem = import (offline + "/nixpkgs/modules/nixos/system.nix") {
          lib = final;
          nixpkgs = real;
        };
      }
    );
  };
  nixpkgs = if peers == null then ours else real;
in
{
  inherit nixpkgs;
  nix-darwin = flake (offline + "/nix-darwin") { inherit nixpkgs; };
  home-manager = flake (offline + "/home-manager") { inherit nixpkgs; };
  beside.sops-nix =
    if peers == null then
      import ./sops-nix
    else
      {
        nixosModules.sops = peers + "/sops-nix/modules/sops";
        darwinModules.sops = peers + "/sops-nix/modules/nix-darwin";
      };
}
// (
  if peers == null then
    { }
  else
    {
      flake-parts = flake (peers + "/flake-parts") { nixpkgs-lib = nixpkgs; };
      import-tree = import (peers + "/import-tree");
    }
)
