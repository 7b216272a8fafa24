# The activation script: snippets in the order of their dependencies.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  snippets = lib.mapAttrs (
    _: s: if builtins.isString s then { text = s; deps = [ ]; supportsDryActivation = false; } else s
  ) config.system.activationScripts;

  # Names so that every snippet follows what it depends on, else by alphabet.
  ordered =
    let
      visit =
        stack: done: name:
        if builtins.elem name done then
          done
        else if builtins.elem name stack then
          throw "system.activationScripts: these depend on each other: ${
            lib.concatStringsSep " -> " (stack ++ [ name ])
          }"
        else if !snippets ? ${name} then
          throw "system.activationScripts.${lib.last stack}: there is no snippet `${name}' to depend on; there are ${
            lib.concatStringsSep ", " (lib.attrNames snippets)
          }"
        else
          builtins.foldl' (visit (stack ++ [ name ])) done snippets.${name}.deps ++ [ name ];
    in
    builtins.foldl' (visit [ ]) [ ] (lib.attrNames snippets);

  run =
    names:
    lib.concatMapStrings (name: ''
      #### ${name}
      _localstatus=0
      ${snippets.${name}.text}

      if [ "$_localstatus" -gt 0 ]; then
        printf "Activation script snippet '%s' failed (%s)\n" ${lib.escapeShellArg name} "$_localstatus" >&2
      fi
    '') names;

  script = names: ''
    #!${pkgs.runtimeShell}

    systemConfig=@out@
    export PATH=${
      lib.makeBinPath (
        [
          pkgs.coreutils
          pkgs.bash
        ]
        ++ config.system.activationPath
      )
    }
    umask 0022
    cd /

    _status=0
    trap '_status=1 _localstatus=$?' ERR

    ${run names}
    ${lib.optionalString (names == ordered) ''
      ln -sfn "$(readlink -f "$systemConfig")" /run/current-system
      if [ -d /nix/var/nix/gcroots ]; then
        ln -sfn /run/current-system /nix/var/nix/gcroots/current-system
      fi
    ''}
    exit $_status
  '';
in
{
  options.system = {
    activationScripts = lib.mkOption {
      type = lib.types.attrsOf (
        lib.types.either lib.types.str (
          lib.types.submodule {
            options = {
              text = lib.mkOption {
                type = lib.types.lines;
                default = "";
                description = "The commands.";
              };
              deps = lib.mkOption {
                type = lib.types.listOf lib.types.str;
                default = [ ];
                example = [ "users" ];
                description = "Snippets that must have run before.";
              };
              supportsDryActivation = lib.mkOption {
                type = lib.types.bool;
                default = false;
                description = "Whether the snippet runs on dry-activate too, with NIXOS_ACTION saying so.";
              };
            };
          }
        )
      );
      default = { };
      example = {
        greet.text = "echo hello";
      };
      description = "Commands that make the running system this one; they must be idempotent.";
    };
    activationPath = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [ ];
      internal = true;
      description = "More packages on PATH of the activation script.";
    };
    preSwitchChecks = lib.mkOption {
      type = lib.types.attrsOf lib.types.str;
      default = { };
      example = {
        never = "exit 1";
      };
      description = "Scripts of which none may fail before a switch; $1 is the new system, $2 the action.";
    };
  };

  config = {
    system.build.activate = script ordered;
    system.build.dryActivate = script (
      lib.filter (n: snippets.${n}.supportsDryActivation) ordered
    );
    system.build.preSwitchChecks = pkgs.writeShellScript "pre-switch-checks" (
      lib.concatStrings (
        lib.mapAttrsToList (name: text: ''
          if ! ${pkgs.writeShellScript "pre-switch-check-${name}" text} "$@"; then
            echo "Pre-switch check '${name}' failed" >&2
            exit 1
          fi
        '') config.system.preSwitchChecks
      )
    );

    system.activationScripts = {
      # What everything later may rely on, also below a bare folder.
      specialfs = ''
        mkdir -p /dev /run /tmp /var/lib /var/log /root /etc
        [ -e /dev/null ] || mknod -m 666 /dev/null c 1 3
        chmod 1777 /tmp
      '';
      etc = {
        deps = [
          "users"
          "groups"
          "specialfs"
        ];
        text = ''
          ${config.system.build.setupEtc} ${config.system.build.etc}/etc
        '';
      };
      # Not in a folder that stands for a machine: the kernel's name is not its,
      # or it is not allowed to set it.
      hostname = lib.mkIf (config.networking.hostName != "") {
        deps = [ "etc" ];
        text = ''
          if [ /proc/1/root -ef / ]; then
            hostname ${lib.escapeShellArg config.networking.hostName} || true
          fi
        '';
      };
      usrbinenv = {
        deps = [ "specialfs" ];
        text = ''
          mkdir -p /usr/bin /bin
          [ -e /usr/bin/env ] || ln -sfn ${pkgs.coreutils}/bin/env /usr/bin/env
          [ -e /bin/sh ] || ln -sfn ${pkgs.runtimeShell} /bin/sh
        '';
      };
    };
  };
}
