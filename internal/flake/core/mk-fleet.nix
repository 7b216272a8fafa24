# The whole fleet is one evaluation of modules; its outputs are the flake's.
{
  inputs,
  imports ? [ ],
  directory ? inputs.self,
  specialArgs ? { },
}:
let
  lib =
    inputs.nixpkgs.lib
      or (throw "mkFleet needs the input `nixpkgs`: add `inputs.nixpkgs.url` to flake.nix and hand over `inherit inputs`");

  evaluated = lib.evalModules {
    class = "flake";
    specialArgs = {
      inherit inputs;
      inherit (inputs) self;
    }
    // specialArgs;
    modules = [
      ./fleet
      ./fleet/flake.nix
      {
        _file = "mkFleet";
        fleet = { inherit directory specialArgs; };
      }
    ]
    ++ imports;
  };
in
evaluated.config.flake
