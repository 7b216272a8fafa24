{ config, lib, ... }:
let
  cfg = config.networking;
  ports =
    what:
    lib.mkOption {
      type = lib.types.listOf lib.types.port;
      default = [ ];
      example = [ 80 ];
      apply = ps: lib.unique (builtins.sort builtins.lessThan ps);
      description = "Open ${what} ports.";
    };
  list = ps: lib.concatMapStringsSep " " toString ps;
in
{
  options.networking = {
    firewall = {
      enable = lib.mkOption {
        type = lib.types.bool;
        default = true;
        example = false;
        description = "Whether only what is listed gets in; written to /etc/firewall, enforced by nobody here.";
      };
      allowedTCPPorts = ports "TCP";
      allowedUDPPorts = ports "UDP";
      trustedInterfaces = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        example = [ "zt0" ];
        description = "Interfaces from which everything gets in.";
      };
      interfaces = lib.mkOption {
        type = lib.types.attrsOf (
          lib.types.submodule {
            options = {
              allowedTCPPorts = ports "TCP";
              allowedUDPPorts = ports "UDP";
            };
          }
        );
        default = { };
        description = "Ports open on one interface only.";
      };
    };
    useDHCP = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether addresses come from DHCP; accepted.";
    };
    hostId = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "8425e349";
      description = "The machine's number; accepted.";
    };
  }
  // lib.genAttrs
    [
      "defaultGateway"
      "interfaces"
      "nameservers"
      "networkmanager"
      "nftables"
      "useNetworkd"
    ]
    (
      n:
      lib.mkOption {
        type = lib.types.anything;
        default = { };
        description = "${n}; accepted.";
      }
    );

  config = {
    environment.etc.hostname = lib.mkIf (cfg.hostName != "") {
      # A file of its own: whatever reads it early may do so without /nix.
      mode = "0644";
      text = cfg.hostName + "\n";
    };
    environment.etc.firewall = lib.mkIf cfg.firewall.enable {
      text = ''
        tcp ${list cfg.firewall.allowedTCPPorts}
        udp ${list cfg.firewall.allowedUDPPorts}
        trusted ${toString cfg.firewall.trustedInterfaces}
      ''
      + lib.concatStrings (
        lib.mapAttrsToList (n: i: ''
          ${n} tcp ${list i.allowedTCPPorts}
          ${n} udp ${list i.allowedUDPPorts}
        '') cfg.firewall.interfaces
      );
    };
  };
}
