# What the fleet adds to every machine, of either class.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
in
{
  imports = [
    ./vars
    ./secrets
  ];

  options.clan.core.settings = {
    directory = mkOption {
      type = types.raw;
      example = lib.literalExpression "inputs.self";
      description = "The folder that holds `sops/`, the fleet's keys, secrets and public values.";
    };
    name = mkOption {
      type = types.str;
      example = "home";
      description = "The name of the fleet.";
    };
    domain = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "zt";
      description = "The domain of the fleet.";
    };
    machine.name = mkOption {
      type = types.str;
      example = "cinnabar";
      description = "The name of the machine in the inventory.";
    };
  };

  config.networking.hostName = lib.mkDefault config.clan.core.settings.machine.name;
}
