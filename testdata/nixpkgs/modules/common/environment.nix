{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.environment;
  text = v: if builtins.isList v then lib.concatMapStringsSep ":" toString v else toString v;
  export = n: v: "export ${n}=${lib.escapeShellArg (text v)}";
in
{
  options = {
    environment = {
      systemPackages = lib.mkOption {
        type = lib.types.listOf lib.types.package;
        default = [ ];
        example = lib.literalExpression "[ pkgs.hello ]";
        description = "Packages whose files appear below /run/current-system/sw.";
      };
      pathsToLink = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [
          "/bin"
          "/etc"
          "/lib"
          "/share"
        ];
        example = [ "/include" ];
        description = "Folders of packages that appear there.";
      };
      variables = lib.mkOption {
        type =
          with lib.types;
          attrsOf (
            oneOf [
              (listOf (oneOf [
                int
                str
                path
              ]))
              int
              str
              path
            ]
          );
        default = { };
        example = {
          EDITOR = "vim";
        };
        description = "Environment variables of every shell.";
      };
      sessionVariables = lib.mkOption {
        type = lib.types.attrsOf lib.types.anything;
        default = { };
        example = {
          EDITOR = "vim";
        };
        description = "Environment variables of every session.";
      };
      shellAliases = lib.mkOption {
        type = lib.types.attrsOf (lib.types.nullOr lib.types.str);
        default = { };
        example = {
          ll = "ls -l";
        };
        description = "Abbreviations of every shell.";
      };
      shells = lib.mkOption {
        type = lib.types.listOf (lib.types.either lib.types.package lib.types.path);
        default = [ ];
        example = lib.literalExpression "[ pkgs.fish ]";
        description = "Login shells, for /etc/shells.";
      };
      shellInit = lib.mkOption {
        type = lib.types.lines;
        default = "";
        description = "What every shell runs first.";
      };
      extraInit = lib.mkOption {
        type = lib.types.lines;
        default = "";
        description = "What every login shell runs last.";
      };
      systemPath = lib.mkOption {
        type = lib.types.listOf (lib.types.either lib.types.path lib.types.str);
        default = [ ];
        description = "Folders of PATH.";
      };
    };
    system.path = lib.mkOption {
      type = lib.types.package;
      internal = true;
      description = "The tree of all system packages.";
    };
  };

  config = {
    environment.systemPackages = [
      pkgs.bash
      pkgs.coreutils
    ];
    environment.etc."set-environment".text = ''
      ${lib.concatStringsSep "\n" (
        lib.mapAttrsToList export (cfg.sessionVariables // cfg.variables)
      )}
      ${cfg.shellInit}
      ${cfg.extraInit}
    '';
    environment.etc.shells = lib.mkIf (cfg.shells != [ ]) {
      text =
        lib.concatMapStrings (
          s: "${if lib.isDerivation s then "/run/current-system/sw${s.shellPath}" else toString s}\n"
        ) cfg.shells
        + "/bin/sh\n";
    };
    system.path = pkgs.buildEnv {
      name = "system-path";
      paths = cfg.systemPackages;
      inherit (cfg) pathsToLink;
    };
  };
}
