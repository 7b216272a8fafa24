# lib.homeManagerConfiguration: one user's home on its own.
{ nixpkgs }:
{
  pkgs,
  modules ? [ ],
  extraSpecialArgs ? { },
  lib ? pkgs.lib,
  check ? true,
}:
let
  eval = lib.evalModules {
    class = "homeManager";
    specialArgs = {
      modulesPath = toString ./modules;
      osConfig = null;
    }
    // extraSpecialArgs
    // {
      lib = lib.extend (_: _: { hm = import ./hm.nix { inherit lib; }; });
    };
    modules = modules ++ [
      ./modules
      {
        _module.args.pkgs = lib.mkDefault pkgs;
        _module.check = lib.mkDefault check;
      }
    ];
  };
in
eval
// {
  inherit pkgs;
  activationPackage = eval.config.home.activationPackage;
  activation-script = eval.config.home.activationPackage;
}
