# What the fleet adds to every machine, of either class.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.clan.core.settings;
in
{
  imports = [
    ./deploy
    ./vars
    ./secrets
  ];

  options.clan.core.settings = {
    directory = mkOption {
      type = types.raw;
      example = lib.literalExpression "inputs.self";
      description = "The folder that holds `sops/`, the fleet's keys, secrets and public values.";
    };
    # The program decides by the same folders.
    layout = mkOption {
      type = types.enum [
        "native"
        "clan"
      ];
      default =
        if lib.any (place: builtins.pathExists (cfg.directory + "/vars/${place}")) [
          "per-machine"
          "shared"
        ] then
          "clan"
        else
          "native";
      defaultText = lib.literalMD "`clan` where there are values below `vars/`";
      readOnly = true;
      description = "Where the values lie in the folder: below `sops/`, or below `vars/` as clan-core keeps them.";
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

  config.networking.hostName = lib.mkDefault cfg.machine.name;
}
