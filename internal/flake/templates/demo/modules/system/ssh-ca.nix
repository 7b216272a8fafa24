# One certificate authority for all servers (share), and a certificate of it for
# every host key (dependencies).
{
  flake.modules.nixos.ssh-ca =
    {
      config,
      lib,
      pkgs,
      ...
    }:
    let
      certificate = config.clan.core.vars.generators.ssh-host-certificate.files."host-cert.pub";
    in
    {
      clan.core.vars.generators.ssh-ca = {
        share = true;
        files.ca.deploy = false;
        files."ca.pub".secret = false;
        runtimeInputs = [ pkgs.openssh ];
        script = ''
          ssh-keygen -t ed25519 -f $out/ca -N "" -C "certificate authority of the demo"
        '';
      };

      clan.core.vars.generators.ssh-host-certificate = {
        dependencies = [
          "ssh-ca"
          "ssh-host-key"
        ];
        validation.name = config.networking.hostName;
        files."host-cert.pub".secret = false;
        runtimeInputs = [ pkgs.openssh ];
        script = ''
          cp $in/ssh-host-key/id_ed25519.pub host.pub
          ssh-keygen -q -s $in/ssh-ca/ca -h -I ${config.networking.hostName} -n ${config.networking.hostName} host.pub
          cp host-cert.pub $out/host-cert.pub
        '';
      };

      # Before the first `fleet vars generate` there is no certificate to name.
      environment.etc."ssh/host-cert.pub" = lib.mkIf certificate.exists {
        source = certificate.path;
      };
    };
}
