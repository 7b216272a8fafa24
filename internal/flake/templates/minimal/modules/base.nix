# A feature: one file, and one module for every class that has it.
{
  flake.modules.nixos.base =
    { config, pkgs, ... }:
    {
      services.openssh.enable = true;

      # The host key is made once and kept encrypted below sops/.
      clan.core.vars.generators.ssh-host-key = {
        files.id_ed25519.restartUnits = [ "sshd.service" ];
        files."id_ed25519.pub".secret = false;
        runtimeInputs = [ pkgs.openssh ];
        script = ''
          ssh-keygen -t ed25519 -f $out/id_ed25519 -N "" -C ""
        '';
      };

      services.openssh.hostKeys = [
        {
          type = "ed25519";
          inherit (config.clan.core.vars.generators.ssh-host-key.files.id_ed25519) path;
        }
      ];
    };
}
