# home-manager as part of a system: one homeManager module evaluation per user.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.home-manager;
  hmLib = lib.extend (_: _: { hm = import ../hm.nix { inherit lib; }; });
in
{
  options.home-manager = {
    users = mkOption {
      type = types.attrsOf (
        types.submoduleWith {
          description = "Home Manager module";
          class = "homeManager";
          specialArgs = {
            osConfig = config;
            modulesPath = toString ../modules;
          }
          // cfg.extraSpecialArgs
          // {
            lib = hmLib;
          };
          modules = [
            ../modules
            (
              { name, ... }:
              {
                _module.args.pkgs = lib.mkDefault pkgs;
                home.username = lib.mkDefault (config.users.users.${name}.name or name);
                home.homeDirectory = lib.mkIf (config.users.users.${name}.home or null != null) (
                  lib.mkDefault config.users.users.${name}.home
                );
              }
            )
          ]
          ++ cfg.sharedModules;
        }
      );
      default = { };
      example = {
        ann.programs.git.enable = true;
      };
      # An error names the user's option, not the evaluation's.
      visible = "shallow";
      description = "The home of each user.";
    };
    sharedModules = mkOption {
      type = types.listOf types.raw;
      default = [ ];
      example = lib.literalExpression "[ ./shell.nix ]";
      description = "Modules of every user.";
    };
    extraSpecialArgs = mkOption {
      type = types.attrs;
      default = { };
      example = lib.literalExpression "{ inherit inputs; }";
      description = "Special arguments of every user's modules.";
    };
    useGlobalPkgs = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether users share the system's packages; here they always do.";
    };
    useUserPackages = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether packages come through users.users.<name>.packages.";
    };
    backupFileExtension = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "backup";
      description = "What files that are in the way are renamed with, instead of an error.";
    };
    verbose = mkOption {
      type = types.bool;
      default = false;
      description = "Whether activation says what it does.";
    };
  };

  config = lib.mkIf (cfg.users != { }) {
    assertions = lib.concatLists (
      lib.mapAttrsToList (
        user: home:
        map (a: {
          inherit (a) assertion;
          message = "${user} profile: ${a.message}";
        }) home.assertions
      ) cfg.users
    );
    warnings = lib.concatLists (
      lib.mapAttrsToList (user: home: map (w: "${user} profile: ${w}") home.warnings) cfg.users
    );
    users.users = lib.mkIf cfg.useUserPackages (
      lib.mapAttrs (_: home: { packages = [ home.home.path ]; }) cfg.users
    );
    home-manager.extraSpecialArgs = { };

    # The user's activation by the user where the system knows one, else by root
    # with the user's home: in a folder that stands for a machine.
    system.build.activateHomes = lib.mapAttrs (
      user: home:
      let
        name = lib.escapeShellArg home.home.username;
        folder = lib.escapeShellArg home.home.homeDirectory;
        activate = pkgs.writeShellScript "activate-home-${user}" ''
          export HOME=${folder} USER=${name} LOGNAME=${name}
          ${lib.optionalString (
            cfg.backupFileExtension != null
          ) "export HOME_MANAGER_BACKUP_EXT=${lib.escapeShellArg cfg.backupFileExtension}"}
          ${lib.optionalString cfg.verbose "export VERBOSE=1"}
          export PATH=${lib.makeBinPath [ pkgs.coreutils pkgs.bash ]}
          exec ${home.home.activationPackage}/activate
        '';
      in
      ''
        mkdir -p ${folder}
        if id -u ${name} >/dev/null 2>&1; then
          chown ${name} ${folder}
          ${pkgs.busybox}/bin/su -s ${pkgs.runtimeShell} ${name} -c ${activate}
        else
          ${activate}
        fi
      ''
    ) cfg.users;
  };
}
