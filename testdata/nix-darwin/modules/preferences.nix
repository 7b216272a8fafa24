# What only macOS can put into force is kept as text in the system's toplevel.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  freeform =
    what:
    lib.mkOption {
      type = lib.types.submodule { freeformType = lib.types.attrsOf lib.types.anything; };
      default = { };
      description = what;
    };
in
{
  options = {
    system.defaults = freeform "Preferences by domain; defaults.json of the toplevel.";
    system.keyboard = freeform "The keyboard; accepted.";
    system.startup = freeform "Starting up; accepted.";
    system.primaryUser = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "ann";
      description = "The user that options of one user belong to.";
    };
    homebrew = freeform "Homebrew; Brewfile.json of the toplevel.";
    power = freeform "Power; accepted.";
  };

  config = {
    assertions = [
      {
        assertion = config.launchd.user.agents == { } || config.system.primaryUser != null;
        message = "launchd.user.agents belongs to one user: please set `system.primaryUser` to the name of the user.";
      }
    ];
    system.systemBuilderCommands = ''
      cp ${pkgs.writeText "defaults.json" (builtins.toJSON config.system.defaults)} "$out/defaults.json"
      cp ${pkgs.writeText "Brewfile.json" (builtins.toJSON config.homebrew)} "$out/Brewfile.json"
    '';
  };
}
