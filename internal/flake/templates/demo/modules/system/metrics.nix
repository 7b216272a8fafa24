# A service that is restarted when its secret changes.
{
  flake.modules.nixos.metrics =
    { config, pkgs, ... }:
    {
      clan.core.vars.generators.metrics = {
        files.token = {
          mode = "0440";
          restartUnits = [ "metrics.service" ];
        };
        script = ''
          head -c 24 /dev/urandom | base64 | tr -d '\n' > $out/token
        '';
      };

      systemd.services.metrics = {
        description = "Pretends to send metrics";
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = pkgs.writeShellScript "metrics" ''
          token=$(cat ${config.clan.core.vars.generators.metrics.files.token.path})
          echo "sending with a token of ''${#token} characters"
          exec sleep infinity
        '';
      };
    };
}
