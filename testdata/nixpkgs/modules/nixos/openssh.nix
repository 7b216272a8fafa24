# sshd and its sshd_config are the host's own; what is declared is a drop-in
# beside it, so that a host stays reachable whatever is deployed to it.
{ config, lib, ... }:
let
  cfg = config.services.openssh;
  show =
    v:
    if v == true then
      "yes"
    else if v == false then
      "no"
    else if builtins.isList v then
      lib.concatStringsSep "," v
    else
      toString v;
in
{
  config = lib.mkIf cfg.enable {
    environment.etc."ssh/sshd_config.d/50-nixos.conf".text =
      lib.optionalString (cfg.ports != [ 22 ]) (
        lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports
      )
      + lib.concatMapStrings (k: "HostKey ${k.path}\n") cfg.hostKeys
      + "AuthorizedKeysFile ${
        lib.concatStringsSep " " (
          [
            "%h/.ssh/authorized_keys"
            "/etc/ssh/authorized_keys.d/%u"
          ]
          ++ cfg.authorizedKeysFiles
        )
      }\n"
      + lib.concatStrings (
        lib.mapAttrsToList (n: v: lib.optionalString (v != null) "${n} ${show v}\n") cfg.settings
      )
      + cfg.extraConfig;
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall cfg.ports;
  };
}
