# The inputs of a test fleet: the offline nixpkgs and its counterparts from the
# folder `offline`. With `peers`, a folder with the real ones, their lib,
# flake-parts and import-tree; the packages and modules stay the offline ones.
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
