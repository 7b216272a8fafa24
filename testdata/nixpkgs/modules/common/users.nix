{ config, lib, ... }:
let
  keys =
    what:
    lib.mkOption {
      type = lib.types.listOf what;
      default = [ ];
      description = "Keys that may log in as the user.";
    };
in
{
  options.users = {
    users = lib.mkOption {
      default = { };
      example = {
        ann.isNormalUser = true;
      };
      description = "The users of the machine.";
      type = lib.types.attrsOf (
        lib.types.submodule (
          { name, ... }:
          {
            options = {
              enable = lib.mkOption {
                type = lib.types.bool;
                default = true;
                description = "Whether the user is made.";
              };
              name = lib.mkOption {
                type = lib.types.passwdEntry lib.types.str;
                default = name;
                defaultText = "the attribute's name";
                description = "The login name.";
              };
              description = lib.mkOption {
                type = lib.types.passwdEntry lib.types.str;
                default = "";
                example = "Ann Example";
                description = "The user's full name.";
              };
              uid = lib.mkOption {
                type = lib.types.nullOr lib.types.int;
                default = null;
                example = 1001;
                description = "The user's number; a free one if null.";
              };
              home = lib.mkOption {
                type = lib.types.nullOr (lib.types.passwdEntry lib.types.path);
                example = "/home/ann";
                description = "The home folder.";
              };
              createHome = lib.mkOption {
                type = lib.types.bool;
                default = false;
                description = "Whether the home folder is made.";
              };
              shell = lib.mkOption {
                type = lib.types.nullOr (
                  lib.types.either lib.types.shellPackage (lib.types.passwdEntry lib.types.path)
                );
                default = null;
                example = lib.literalExpression "pkgs.fish";
                description = "The login shell.";
              };
              packages = lib.mkOption {
                type = lib.types.listOf lib.types.package;
                default = [ ];
                example = lib.literalExpression "[ pkgs.hello ]";
                description = "Packages of this user alone.";
              };
              openssh.authorizedKeys.keys = keys lib.types.singleLineStr;
              openssh.authorizedKeys.keyFiles = keys lib.types.path;
            };
          }
        )
      );
    };
    groups = lib.mkOption {
      default = { };
      example = {
        staff.gid = 50;
      };
      description = "The groups of the machine.";
      type = lib.types.attrsOf (
        lib.types.submodule (
          { name, ... }:
          {
            options = {
              name = lib.mkOption {
                type = lib.types.passwdEntry lib.types.str;
                default = name;
                defaultText = "the attribute's name";
                description = "The group's name.";
              };
              gid = lib.mkOption {
                type = lib.types.nullOr lib.types.int;
                default = null;
                example = 50;
                description = "The group's number; a free one if null.";
              };
              members = lib.mkOption {
                type = lib.types.listOf (lib.types.passwdEntry lib.types.str);
                default = [ ];
                example = [ "ann" ];
                description = "Its members beside those whose own group it is.";
              };
              description = lib.mkOption {
                type = lib.types.str;
                default = "";
                description = "What the group is for.";
              };
            };
          }
        )
      );
    };
  };

  # Keys lie where sshd is told to look beside the home folder.
  config.environment.etc = lib.mkMerge (
    lib.mapAttrsToList (
      _: u:
      lib.mkIf (u.openssh.authorizedKeys.keys != [ ] || u.openssh.authorizedKeys.keyFiles != [ ]) {
        "ssh/authorized_keys.d/${u.name}" = {
          mode = "0444";
          text =
            lib.concatMapStrings (k: "${lib.removeSuffix "\n" k}\n") u.openssh.authorizedKeys.keys
            + lib.concatMapStrings builtins.readFile u.openssh.authorizedKeys.keyFiles;
        };
      }
    ) config.users.users
  );
}
