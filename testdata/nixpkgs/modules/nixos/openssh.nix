# sshd is the host's own; its settings are ours. Drop-ins that lie on the host
# already stay in force, ahead of them.
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
    environment.etc."ssh/sshd_config".text = ''
      Include /etc/ssh/sshd_config.d/*.conf
      ${lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports}${
        lib.concatMapStrings (k: "HostKey ${k.path}\n") cfg.hostKeys
      }AuthorizedKeysFile ${
        lib.concatStringsSep " " (
          [
            "%h/.ssh/authorized_keys"
            "/etc/ssh/authorized_keys.d/%u"
          ]
          ++ cfg.authorizedKeysFiles
        )
      }
      ${lib.concatStrings (
        lib.mapAttrsToList (n: v: lib.optionalString (v != null) "${n} ${show v}\n") cfg.settings
      )}${cfg.extraConfig}'';
    services.openssh.settings = {
      UsePAM = lib.mkDefault true;
      Subsystem = lib.mkDefault "sftp internal-sftp";
    };
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall cfg.ports;
  };
}
