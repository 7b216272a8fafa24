# macOS keeps its users in a directory of its own; of users.users only the home
# folder is acted on.
{ config, lib, ... }:
let
  users = lib.filter (u: u.enable && u.createHome && u.home != null) (
    lib.attrValues config.users.users
  );
in
{
  options.users = {
    users = lib.mkOption {
      type = lib.types.attrsOf (
        lib.types.submodule {
          options = {
            gid = lib.mkOption {
              type = lib.types.int;
              default = 20;
              description = "The number of the user's own group.";
            };
            isHidden = lib.mkOption {
              type = lib.types.bool;
              default = false;
              description = "Whether the login window hides the user; accepted.";
            };
          };
          config.home = lib.mkDefault null;
        }
      );
    };
    knownUsers = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "ann" ];
      description = "Users that nix-darwin may make and remove; accepted.";
    };
    knownGroups = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "staff" ];
      description = "Groups that nix-darwin may make and remove; accepted.";
    };
  };

  config.system.activationScripts.users.text = lib.concatMapStrings (u: ''
    if [ ! -e ${lib.escapeShellArg u.home} ]; then
      mkdir -p ${lib.escapeShellArg u.home}
      if id -u ${lib.escapeShellArg u.name} >/dev/null 2>&1; then
        chown ${lib.escapeShellArg u.name} ${lib.escapeShellArg u.home}
      fi
    fi
  '') users;
}
