# lib.nixosSystem of the current lib over the modules of an old tree.
{ lib, pkgs }:
{
  modules ? [ ],
  specialArgs ? { },
  ...
}:
let
  baseModules = import ./nixos/modules/module-list.nix;

  # What the old modules still call by its old name.
  compatible = lib.extend (
    _: old: {
      isNixOS = true;
      replaceChars = old.replaceStrings;
      types = old.types // {
        loaOf = old.types.attrsOf;
        string = old.types.str;
      };
    }
  );
  withPkgs =
    eval:
    eval
    // {
      inherit (eval._module.args) pkgs;
      extendModules = args: withPkgs (eval.extendModules args);
    };
in
withPkgs (compatible.evalModules {
  class = "nixos";
  modules =
    baseModules
    ++ modules
    ++ [
      {
        _file = "compatible";
        _module.check = false;
        _module.args = {
          inherit baseModules modules;
          extraModules = [ ];
        };
        nixpkgs = {
          initialSystem = lib.mkDefault "x86_64-linux";
          system = lib.mkDefault "x86_64-linux";
          pkgs = lib.mkDefault pkgs;
        };
      }
    ];
  specialArgs = {
    lib = compatible;
    modulesPath = toString ./nixos/modules;
  }
  // specialArgs;
})
