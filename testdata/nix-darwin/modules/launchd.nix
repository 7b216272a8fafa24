# launchd's jobs as property lists, loaded where there is a launchctl.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.launchd;

  jobs =
    what:
    mkOption {
      default = { };
      example = {
        web.command = "/bin/httpd";
      };
      description = "${what} of launchd.";
      type = types.attrsOf (
        types.submodule (
          { config, name, ... }:
          {
            options = {
              serviceConfig = mkOption {
                type = types.submodule {
                  freeformType = types.attrsOf types.anything;
                  options.Label = mkOption {
                    type = types.str;
                    default = "${cfg.labelPrefix}.${name}";
                    defaultText = "the prefix and the name";
                    description = "The job's label.";
                  };
                };
                default = { };
                example = {
                  KeepAlive = true;
                };
                description = "Keys of the property list.";
              };
              command = mkOption {
                type = types.either types.str types.path;
                default = "";
                example = "/bin/httpd";
                description = "The job's command.";
              };
              script = mkOption {
                type = types.lines;
                default = "";
                description = "The job's script, instead of a command.";
              };
              path = mkOption {
                type = types.listOf (types.either types.path types.str);
                default = [ ];
                description = "Packages on the job's PATH.";
              };
              environment = mkOption {
                type = types.attrsOf types.str;
                default = { };
                description = "The job's environment variables.";
              };
            };
            config = {
              command = lib.mkIf (config.script != "") (
                toString (pkgs.writeShellScript "${name}-start" config.script)
              );
              serviceConfig = {
                ProgramArguments = lib.mkIf (config.command != "") [
                  "/bin/sh"
                  "-c"
                  "exec ${config.command}"
                ];
                EnvironmentVariables = lib.mkIf (config.environment != { } || config.path != [ ]) (
                  config.environment
                  // lib.optionalAttrs (config.path != [ ]) {
                    PATH = lib.makeBinPath config.path + ":/usr/bin:/bin:/usr/sbin:/sbin";
                  }
                );
              };
            };
          }
        )
      );
    };
  plists =
    folder: set:
    lib.mapAttrsToList (_: job: {
      name = "${folder}/${job.serviceConfig.Label}.plist";
      path = pkgs.writeText "${job.serviceConfig.Label}.plist" (
        lib.generators.toPlist { } job.serviceConfig
      );
    }) set;
in
{
  options.launchd = {
    labelPrefix = mkOption {
      type = types.str;
      default = "org.nixos";
      description = "What labels begin with.";
    };
    daemons = jobs "Daemons";
    agents = jobs "Agents of every user";
    user.agents = jobs "Agents of the primary user";
    envVariables = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Variables of all jobs; accepted.";
    };
  };

  config = {
    system.build.launchd = pkgs.linkFarm "launchd" (
      plists "Library/LaunchDaemons" cfg.daemons
      ++ plists "Library/LaunchAgents" cfg.agents
      ++ plists "user/Library/LaunchAgents" cfg.user.agents
    );
    system.activationScripts.launchd.text = ''
      mkdir -p /Library/LaunchDaemons /Library/LaunchAgents
      for folder in Library/LaunchDaemons Library/LaunchAgents; do
        new=${config.system.build.launchd}/$folder
        old=/run/current-system/$folder
        # Jobs of the system before that are gone.
        for plist in "$old"/*.plist; do
          name=''${plist##*/}
          if [ -e "$plist" ] && [ ! -e "$new/$name" ] && [ -e "/$folder/$name" ]; then
            if [ -x /bin/launchctl ]; then launchctl unload "/$folder/$name" || true; fi
            rm -f "/$folder/$name"
          fi
        done
        for plist in "$new"/*.plist; do
          name=''${plist##*/}
          if [ -e "$plist" ] && ! cmp -s "$plist" "/$folder/$name"; then
            if [ -x /bin/launchctl ] && [ -e "/$folder/$name" ]; then
              launchctl unload "/$folder/$name" || true
            fi
            cp -L "$plist" "/$folder/$name.tmp"
            chmod 644 "/$folder/$name.tmp"
            mv "/$folder/$name.tmp" "/$folder/$name"
            if [ -x /bin/launchctl ]; then launchctl load -w "/$folder/$name"; fi
          fi
        done
      done
    '';
  };
}
