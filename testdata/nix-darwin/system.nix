# lib.darwinSystem: modules evaluated together with those of our small
# nix-darwin. Its systems are built and activated on Linux too: what macOS alone
# has (launchctl, scutil) is used where it is there.
{ nixpkgs }:
{
  modules,
  specialArgs ? { },
  # null: nixpkgs.hostPlatform says it.
  system ? null,
  lib ? nixpkgs.lib,
  inputs ? { },
  # Accepted: our nixpkgs has one release.
  enableNixpkgsReleaseCheck ? true,
}:
let
  eval = lib.evalModules {
    class = "darwin";
    specialArgs = {
      modulesPath = toString ./modules;
    }
    // nixpkgs.lib.optionalAttrs (inputs != { }) { inherit inputs; }
    // specialArgs
    // {
      inherit nixpkgs;
    };
    modules =
      modules
      ++ [ ./modules ]
      ++ lib.optional (system != null) {
        _file = "lib.darwinSystem";
        nixpkgs.hostPlatform = lib.mkDefault system;
      };
  };
  withSystem =
    eval:
    eval
    // {
      inherit (eval._module.args) pkgs;
      system = eval.config.system.build.toplevel;
      extendModules = args: withSystem (eval.extendModules args);
    };
in
withSystem eval
