{ config, lib, ... }:
let
  cfg = config.networking;
  plist = lib.generators.toPlist { } {
    System.System = {
      ComputerName = cfg.computerName;
      HostName = cfg.hostName;
    };
    System.Network.HostNames.LocalHostName = cfg.localHostName;
  };
  arg = lib.escapeShellArg;
in
{
  options.networking = {
    computerName = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = if cfg.hostName == "" then null else cfg.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      example = "Ann's laptop";
      description = "The machine's name for people.";
    };
    localHostName = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = if cfg.hostName == "" then null else cfg.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      example = "anns-laptop";
      description = "The machine's name in its own network.";
    };
  };

  # Where there is no scutil to ask, the file that it would write.
  config.system.activationScripts.networking.text = lib.mkIf (cfg.hostName != "") ''
    if [ -x /usr/sbin/scutil ]; then
      scutil --set ComputerName ${arg cfg.computerName}
      scutil --set HostName ${arg cfg.hostName}
      scutil --set LocalHostName ${arg cfg.localHostName}
    else
      mkdir -p /Library/Preferences/SystemConfiguration
      printf %s ${arg plist} >/Library/Preferences/SystemConfiguration/preferences.plist
    fi
  '';
}
