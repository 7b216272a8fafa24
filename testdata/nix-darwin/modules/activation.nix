# The activation script: named parts in the order of nix-darwin.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  order = [
    "preActivation"
    "checks"
    "createRun"
    "extraActivation"
    "groups"
    "users"
    "applications"
    "pam"
    "patches"
    "openssh"
    "etc"
    "defaults"
    "userDefaults"
    "launchd"
    "userLaunchd"
    "nix-daemon"
    "time"
    "networking"
    "power"
    "keyboard"
    "fonts"
    "nvram"
    "homebrew"
    "postActivation"
  ];
in
{
  options.system = {
    activationScripts = lib.mkOption {
      type = lib.types.attrsOf (
        lib.types.submodule {
          options = {
            enable = lib.mkOption {
              type = lib.types.bool;
              default = true;
              description = "Whether the part runs.";
            };
            text = lib.mkOption {
              type = lib.types.lines;
              default = "";
              example = "echo hello";
              description = "The commands.";
            };
          };
        }
      );
      default = { };
      example = {
        postActivation.text = "echo hello";
      };
      description = "Parts of the activation script; only those that nix-darwin names are run.";
    };
    checks.text = lib.mkOption {
      type = lib.types.lines;
      default = "";
      internal = true;
      description = "Commands that end the activation before it changed anything.";
    };
  };

  config = {
    assertions = map (name: {
      assertion = builtins.elem name (order ++ [ "script" ]);
      message = "system.activationScripts.${name} is run by nobody: nix-darwin runs only ${lib.concatStringsSep ", " order}. Use preActivation, extraActivation or postActivation.";
    }) (lib.attrNames config.system.activationScripts);

    system.activationScripts = lib.genAttrs order (_: { }) // {
      checks.text = config.system.checks.text;
      createRun.text = ''
        mkdir -p /run /etc /var/root /Library
      '';
      etc.text = ''
        ${config.system.build.setupEtc} ${config.system.build.etc}/etc
      '';
      script.text = ''
        #!${pkgs.runtimeShell}
        # Nothing of the caller's environment gets in.
        if [ -z "''${NIX_DARWIN_ENV-}" ]; then
          exec ${pkgs.coreutils}/bin/env -i NIX_DARWIN_ENV=clean ${pkgs.runtimeShell} "$0" "$@"
        fi
        unset NIX_DARWIN_ENV
        set -e
        set -o pipefail
        export PATH=${
          lib.makeBinPath [
            pkgs.gnugrep
            pkgs.coreutils
            pkgs.bash
          ]
        }:/usr/bin:/bin:/usr/sbin:/sbin
        export USER=root LOGNAME=root HOME=/var/root SHELL=$BASH LANG=C

        systemConfig=@out@
        umask 0022
        cd /

        if [ "$(id -u)" != 0 ]; then
          printf '\e[1;31merror: `activate` must be run as root\e[0m\n' >&2
          exit 2
        fi
        [ -e /dev/null ] || { mkdir -p /dev && mknod -m 666 /dev/null c 1 3; }

        ${lib.concatMapStrings (
          name:
          let
            part = config.system.activationScripts.${name};
          in
          lib.optionalString (part.enable && part.text != "") ''
            #### ${name}
            ${part.text}
          ''
        ) order}
        # Make this configuration the current one.
        ln -sfn "$(readlink -f "$systemConfig")" /run/current-system
        if [ -d /nix/var/nix/gcroots ]; then
          ln -sfn /run/current-system /nix/var/nix/gcroots/current-system
        fi
      '';
    };

    # What nobody here wrote is not replaced unasked.
    system.checks.text = ''
      unexpected=
      if [ -d ${config.system.build.etc}/etc ]; then
        for file in $(cd ${config.system.build.etc}/etc && find . -type l | sort); do
          file=''${file#./}
          if [ ! -e "/etc/$file" ] || [ -L "/etc/$file" ] || grep -qsxF "$file" /etc/.clean; then
            continue
          fi
          cmp -s "/etc/$file" "${config.system.build.etc}/etc/$file" || unexpected="$unexpected $file"
        done
      fi
      if [ -n "$unexpected" ]; then
        printf '\e[1;31merror: Unexpected files in /etc, aborting activation\e[0m\n' >&2
        echo "The following files have unrecognized content and would be overwritten:" >&2
        printf '\n' >&2
        printf '  /etc/%s\n' $unexpected >&2
        printf '\nPlease check there is nothing critical in these files, rename them by adding .before-nix-darwin to the end, and then try again.\n' >&2
        exit 2
      fi
    '';
  };
}
