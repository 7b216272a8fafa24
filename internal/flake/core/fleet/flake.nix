# What flake-parts would declare, for a fleet made by mkFleet alone.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  configurations =
    class:
    mkOption {
      type = types.lazyAttrsOf types.raw;
      default = { };
      description = "The evaluated machines of class ${class}, and whatever else is put beside them.";
    };
in
{
  options = {
    flake = mkOption {
      type = types.submoduleWith {
        modules = [
          {
            freeformType = types.lazyAttrsOf types.raw;
            options = {
              nixosConfigurations = configurations "nixos";
              darwinConfigurations = configurations "darwin";
            };
          }
        ];
      };
      default = { };
      description = "The outputs of the flake. What is not declared is handed through.";
    };

    systems = mkOption {
      type = types.listOf types.str;
      default = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      example = [ "x86_64-linux" ];
      description = "The platforms that modules make outputs per platform for.";
    };
  };
}
