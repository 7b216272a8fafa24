# The host key is made once, before the machine exists.
let
  generator = pkgs: {
    prompts = { };
    files.id_ed25519 = { };
    files."id_ed25519.pub".secret = false;
    runtimeInputs = [ pkgs.openssh ];
    script = ''
      ssh-keygen -t ed25519 -f $out/id_ed25519 -N ""
    '';
  };
in
{
  flake.modules.nixos.ssh-host-key =
    { config, pkgs, ... }:
    {
      clan.core.vars.generators.ssh-host-key = generator pkgs;
      services.openssh.enable = true;
      services.openssh.hostKeys = [
        {
          path = config.clan.core.vars.generators.ssh-host-key.files.id_ed25519.path;
          type = "ed25519";
        }
      ];
    };

  flake.modules.darwin.ssh-host-key =
    { config, pkgs, ... }:
    {
      clan.core.vars.generators.ssh-host-key = generator pkgs;
      services.openssh.enable = true;
      services.openssh.extraConfig = ''
        HostKey ${config.clan.core.vars.generators.ssh-host-key.files.id_ed25519.path}
      '';
    };
}
