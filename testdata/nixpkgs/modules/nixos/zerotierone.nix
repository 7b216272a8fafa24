# ZeroTier's files are laid out as the real service does; its work is a process
# that stays up, so that there is a unit to see.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.zerotierone;
in
{
  options.services.zerotierone = {
    enable = lib.mkEnableOption "ZeroTierOne";
    joinNetworks = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "a8a2c3c10c1a68de" ];
      description = "The networks that the machine is a member of.";
    };
    port = lib.mkOption {
      type = lib.types.port;
      default = 9993;
      description = "The UDP port.";
    };
    package = lib.mkPackageOption pkgs "zerotierone" { };
    localConf = lib.mkOption {
      type = lib.types.nullOr (lib.types.attrsOf lib.types.anything);
      default = null;
      example = {
        settings.allowTcpFallbackRelay = false;
      };
      description = "Settings of this node: local.conf.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    networking.firewall.allowedUDPPorts = [ cfg.port ];
    environment.etc."zerotier-one/networks".text = lib.concatMapStrings (n: "${n}\n") cfg.joinNetworks;
    systemd.services.zerotierone = {
      description = "ZeroTierOne";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = [ config.environment.etc."zerotier-one/networks".source ];
      path = [ cfg.package ];
      preStart = ''
        mkdir -p /var/lib/zerotier-one/networks.d
        chmod 700 /var/lib/zerotier-one
      ''
      + lib.concatMapStrings (n: ''
        touch /var/lib/zerotier-one/networks.d/${lib.escapeShellArg n}.conf
      '') cfg.joinNetworks
      + lib.optionalString (cfg.localConf != null) ''
        cp ${pkgs.writeText "zt-local.conf" (builtins.toJSON cfg.localConf)} /var/lib/zerotier-one/local.conf
      '';
      script = ''
        exec sleep 1000000000 # port ${toString cfg.port}
      '';
    };
  };
}
