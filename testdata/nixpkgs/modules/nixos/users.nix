# Users and groups are added to what the host has; accounts that an earlier
# activation made and that are declared no longer are removed again.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  users = lib.filter (u: u.enable) (lib.attrValues config.users.users);

  password =
    what: type:
    mkOption {
      type = types.nullOr type;
      default = null;
      description = what;
    };
  shell =
    u:
    if u.shell == null then
      ""
    else if lib.isDerivation u.shell then
      "${u.shell}${u.shell.shellPath or "/bin/${lib.getName u.shell}"}"
    else
      toString u.shell;

  # One line for the script; no field but the description may be empty.
  fields = lib.concatMapStringsSep ":" (f: if f == null || f == "" then "-" else toString f);
  groupLine =
    g:
    fields [
      g.name
      g.gid
      (lib.concatStringsSep "," (
        lib.unique (
          g.members
          ++ map (u: u.name) (lib.filter (u: builtins.elem g.name u.extraGroups) users)
        )
      ))
    ];
  userLine =
    u:
    fields [
      u.name
      u.uid
      (if u.isNormalUser then "normal" else "system")
      u.group
      u.home
      (shell u)
      (lib.boolToString u.createHome)
      u.hashedPasswordFile
      (lib.replaceStrings [ ":" ] [ " " ] (if u.hashedPassword == null then "" else u.hashedPassword))
      (if u.description == "" then "-" else u.description)
    ];
  spec = pkgs.writeText "users-and-groups" (
    lib.concatMapStrings (g: "group:${groupLine g}\n") (lib.attrValues config.users.groups)
    + lib.concatMapStrings (u: "user:${userLine u}\n") users
  );
in
{
  options.users = {
    mutableUsers = mkOption {
      type = types.bool;
      default = true;
      description = "Whether users may be changed by hand; here they always may.";
    };
    users = mkOption {
      type = types.attrsOf (
        types.submodule (
          { config, name, ... }:
          {
            options = {
              isNormalUser = mkOption {
                type = types.bool;
                default = false;
                example = true;
                description = "Whether the user is a person.";
              };
              isSystemUser = mkOption {
                type = types.bool;
                default = false;
                example = true;
                description = "Whether the user is there for a service.";
              };
              group = mkOption {
                type = types.str;
                default = "";
                example = "users";
                description = "The user's own group.";
              };
              extraGroups = mkOption {
                type = types.listOf types.str;
                default = [ ];
                example = [ "wheel" ];
                description = "More groups of the user.";
              };
              hashedPassword = password "The password's hash." types.str;
              initialHashedPassword = password "The password's hash at first; accepted." types.str;
              hashedPasswordFile = password "A file on the machine that holds the hash." types.str;
              password = password "The password; accepted, never written." types.str;
              initialPassword = password "The password at first; accepted, never written." types.str;
              linger = mkOption {
                type = types.nullOr types.bool;
                default = null;
                description = "Whether the user's services run without a login; accepted.";
              };
              subUidRanges = mkOption {
                type = types.listOf types.anything;
                default = [ ];
                description = "Numbers for containers; accepted.";
              };
            };
            config = {
              home = lib.mkDefault (
                if name == "root" then
                  "/root"
                else if config.isNormalUser then
                  "/home/${config.name}"
                else
                  "/var/empty"
              );
              createHome = lib.mkIf config.isNormalUser (lib.mkDefault true);
              group = lib.mkIf config.isNormalUser (lib.mkDefault "users");
              # A person's shell, as on NixOS.
              shell = lib.mkIf config.isNormalUser (lib.mkDefault pkgs.bash);
            };
          }
        )
      );
    };
  };

  config = {
    users.users.root = {
      uid = 0;
      group = "root";
      isSystemUser = true;
    };
    users.groups = {
      root.gid = 0;
      wheel = { };
      users.gid = 100;
    };
    assertions = lib.concatMap (u: [
      {
        assertion = u.isNormalUser != u.isSystemUser;
        message = "Exactly one of users.users.${u.name}.isSystemUser and users.users.${u.name}.isNormalUser must be set.";
      }
      {
        assertion = u.group != "";
        message = "users.users.${u.name}.group is unset. This used to default to nogroup, but this is unsafe. For example you can create a group for this user with: users.users.${u.name}.group = \"${u.name}\"; users.groups.${u.name} = {};";
      }
    ]) users;

    environment.etc = lib.mkMerge (
      map (
        u:
        lib.mkIf (u.packages != [ ]) {
          "profiles/per-user/${u.name}".source = pkgs.buildEnv {
            name = "user-environment";
            paths = u.packages;
          };
        }
      ) users
    );

    system.activationScripts = {
      users = {
        deps = [ "specialfs" ];
        text = ''
          ${pkgs.writeScript "update-users-groups" (
            lib.replaceStrings [ "@busybox@" ] [ "${pkgs.busybox}" ] (
              builtins.readFile ./update-users-groups.sh
            )
          )} ${spec}
        '';
      };
      # One script makes both; modules depend on either.
      groups = {
        deps = [ "users" ];
        text = "";
      };
    };
  };
}
