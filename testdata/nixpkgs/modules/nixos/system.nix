# lib.nixosSystem: modules evaluated together with those of our small NixOS.
{ lib, nixpkgs }:
{
  modules,
  specialArgs ? { },
  # null: nixpkgs.hostPlatform says it.
  system ? null,
  # The module arguments of old; the same as _module.args.
  extraArgs ? { },
  # Packages to use instead of those that nixpkgs.* describes.
  pkgs ? null,
  prefix ? [ ],
  baseModules ? [ ./. ],
}:
let
  eval = lib.evalModules {
    inherit prefix;
    class = "nixos";
    specialArgs = {
      modulesPath = toString ../.;
      inherit nixpkgs;
    }
    // specialArgs
    # The folder of the base modules is theirs to know.
    // {
      inherit nixpkgs;
    };
    modules =
      modules
      ++ baseModules
      ++ lib.optional (system != null) {
        _file = "lib.nixosSystem";
        nixpkgs.hostPlatform = lib.mkDefault system;
      }
      ++ lib.optional (pkgs != null) {
        _file = "lib.nixosSystem";
        nixpkgs.pkgs = lib.mkDefault pkgs;
      }
      ++ lib.optional (extraArgs != { }) { _module.args = extraArgs; };
  };
  withPkgs =
    eval:
    eval
    // {
      inherit (eval._module.args) pkgs;
      inherit lib;
      extendModules = args: withPkgs (eval.extendModules args);
    };
in
withPkgs eval
