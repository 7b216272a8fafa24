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
        builtin.token.bytes = 24;
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
