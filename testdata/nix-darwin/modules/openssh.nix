# macOS has its own sshd_config and reads the drop-ins beside it.
{ config, lib, ... }:
let
  cfg = config.services.openssh;
  show =
    v:
    if v == true then
      "yes"
    else if v == false then
      "no"
    else
      toString v;
in
{
  config = lib.mkIf cfg.enable {
    environment.etc."ssh/sshd_config.d/100-nix-darwin.conf".text =
      lib.concatMapStrings (k: "HostKey ${k.path}\n") cfg.hostKeys
      + "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u\n"
      + lib.concatStrings (
        lib.mapAttrsToList (n: v: lib.optionalString (v != null) "${n} ${show v}\n") cfg.settings
      )
      + cfg.extraConfig;
    system.activationScripts.openssh.text = ''
      if [ -x /bin/launchctl ]; then
        launchctl enable system/com.openssh.sshd
        launchctl bootstrap system /System/Library/LaunchDaemons/ssh.plist 2>/dev/null || true
      fi
    '';
  };
}
