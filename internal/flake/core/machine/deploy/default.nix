# fleet.*: how a new system of the machine is judged, and what brings a deploy to
# its end that a reboot has cut off. Works in any configuration, also one of a
# flake that knows no fleet.
{
  config,
  lib,
  _class,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.fleet.health;

  check =
    { name, ... }:
    {
      options = {
        units = mkOption {
          type = types.nullOr (types.nonEmptyListOf types.str);
          default = null;
          example = [ "nginx.service" ];
          description = "Units that have to be active; on darwin labels of launchd that have to run.";
        };
        command = mkOption {
          type = types.nullOr types.lines;
          default = null;
          example = "nginx -t && test -s /var/lib/web/index.html";
          description = "Shell lines that run as root on the machine and have to succeed.";
        };
        http = mkOption {
          type = types.nullOr (types.strMatching "https?://[^[:space:]]+");
          default = null;
          example = "http://localhost:8080/health";
          description = "A URL that has to be answered with one of the statuses of `status`.";
        };
        status = mkOption {
          type = types.listOf (types.ints.between 100 599);
          default = [ ];
          example = [
            200
            401
          ];
          description = "The statuses that `http` may be answered with; none is any from 200 to 299.";
        };
        contains = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "\"status\":\"ok\"";
          description = "What the answer to `http` has to contain.";
        };
        tcp = mkOption {
          type = types.nullOr (types.strMatching "[^[:space:]]+:[0-9]+");
          default = null;
          example = "localhost:5432";
          description = "A host and port that has to take a connection.";
        };
        from = mkOption {
          type = types.enum [
            "machine"
            "driver"
          ];
          default = "machine";
          description = ''
            Where `http` and `tcp` are tried from: `machine` sees what listens on
            localhost there, `driver` is the computer of whoever deploys.
          '';
        };
        attempts = mkOption {
          type = types.ints.positive;
          default = 10;
          description = "How often it is tried before the new system counts as broken.";
        };
        period = mkOption {
          type = types.ints.unsigned;
          default = 2;
          description = "Seconds between two tries.";
        };
        timeout = mkOption {
          type = types.ints.positive;
          default = 5;
          description = "Seconds that one try may take.";
        };
      };
    };

  described =
    name: value:
    let
      kinds = lib.filter (kind: value.${kind} != null) [
        "units"
        "command"
        "http"
        "tcp"
      ];
      option = "fleet.health.checks.${name}";
    in
    if kinds == [ ] then
      throw "${option} checks nothing: set one of units, command, http, tcp"
    else if lib.length kinds > 1 then
      throw "${option} has ${lib.concatStringsSep " and " kinds}: make it several checks"
    else
      lib.filterAttrs (_: part: part != null && part != [ ]) value;
in
{
  options.fleet.health = {
    checks = mkOption {
      type = types.attrsOf (types.submodule check);
      default = { };
      example = {
        web.http = "http://localhost/";
        database.units = [ "postgresql.service" ];
      };
      description = ''
        What has to hold when a new system is up. Where it does not, the machine
        goes back to the system of before.
      '';
    };
    failedUnits = mkOption {
      type = types.enum [
        "rollback"
        "warn"
      ];
      default = "rollback";
      description = "What is done about units, of a Mac jobs of launchd, that fail with the new system and had not failed before.";
    };
    ignoredUnits = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "acme-*.service" ];
      description = "Units, or labels of jobs, whose failure says nothing about the new system. `*` and `?` work as in a shell.";
    };
    described = mkOption {
      type = types.raw;
      internal = true;
      readOnly = true;
      description = "All of that as plain data, for the program.";
    };
  };

  config = {
    fleet.health.described = {
      inherit (cfg) failedUnits ignoredUnits;
      checks = lib.mapAttrs described cfg.checks;
    };
  }
  // lib.optionalAttrs (_class == "nixos") {
    systemd.services.fleet-recover = {
      description = "Settle the deploy that a reboot has cut off";
      wantedBy = [ "multi-user.target" ];
      restartIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "/bin/sh -c 'if [ -e /var/lib/fleet/current ]; then exec /bin/sh /var/lib/fleet/launch; fi'";
      };
    };
  };
}
