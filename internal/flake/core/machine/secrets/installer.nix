# Our own installer of secrets, for machines without sops-nix.
{
  config,
  lib,
  options,
  pkgs,
  _class,
  ...
}:
let
  inherit (lib) mkOption types;
  sops = config.clan.core.vars.sops;
  machine = config.clan.core.settings.machine.name;
  deployed = import ./deployed.nix { inherit config lib; };

  # root is 0 everywhere, also where no names are known yet.
  id = name: if name == "root" || (_class == "darwin" && name == "wheel") then "0" else name;

  # One line per secret; the installer reads it field by field.
  line =
    { file, ... }@secret:
    lib.concatStringsSep "\t" [
      (deployed.nameOf secret)
      (deployed.sourceOf secret)
      file.mode
      (id file.owner)
      (id file.group)
      (lib.concatStringsSep "," file.restartUnits)
    ];

  # On darwin mount and hdiutil are the system's own.
  path =
    if _class == "darwin" then
      "${lib.makeBinPath [ pkgs.coreutils ]}:/usr/bin:/bin:/usr/sbin:/sbin"
    else
      lib.makeBinPath [
        pkgs.coreutils
        pkgs.util-linux
      ];

  installer = pkgs.writeScript "fleet-install-secrets" (
    "#!${pkgs.bash}/bin/sh\n" + builtins.readFile ./install.sh
  );

  places = {
    users = "/run/secrets-for-users";
    services = "/run/secrets";
  };

  command =
    phase:
    let
      manifest = pkgs.writeText "secrets-for-${phase}" (
        lib.concatMapStrings (secret: line secret + "\n") deployed.${phase}
      );
    in
    "${installer} ${manifest} ${places.${phase}} ${deployed.keyFile} ${sops.package}/bin/sops ${machine}";

  install = phase: ''
    PATH=${path} ${command phase}
  '';

  hasEarly = deployed.users != [ ];
  hasLate = deployed.services != [ ];

  # With these, users are not made by the activation script but by a unit.
  usersByUnit =
    options ? systemd.sysusers && config.systemd.sysusers.enable
    || options ? services.userborn && config.services.userborn.enable;

  scripts = {
    fleetSecretsForUsers = lib.mkIf hasEarly {
      deps = [ "specialfs" ];
      text = install "users";
    };
    users = lib.mkIf hasEarly { deps = [ "fleetSecretsForUsers" ]; };
    fleetSecrets = lib.mkIf hasLate {
      deps = [
        "specialfs"
        "users"
        "groups"
      ];
      text = install "services";
    };
  };

  unit = phase: {
    unitConfig.DefaultDependencies = false;
    unitConfig.RequiresMountsFor = [ sops.secretUploadDirectory ];
    environment.FLEET_RESTART = "now";
    path = [ pkgs.util-linux ]; # a unit has coreutils and systemd anyway
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = command phase;
    };
  };

  units = {
    fleet-secrets-for-users = lib.mkIf hasEarly (
      unit "users"
      // {
        description = "Secrets that must be there before users are made";
        wantedBy = [ "systemd-sysusers.service" ];
        before = [ "systemd-sysusers.service" ];
      }
    );
    fleet-secrets = lib.mkIf hasLate (
      unit "services"
      // {
        description = "Secrets of services";
        wantedBy = [ "sysinit.target" ];
        after = [
          "local-fs.target"
          "systemd-sysusers.service"
          "userborn.service"
        ];
        before = [ "sysinit-reactivation.target" ];
        requiredBy = [ "sysinit-reactivation.target" ];
      }
    );
  };

  # macOS keeps nothing of /run across a reboot and does not activate then.
  atBoot =
    phase:
    lib.optionalString (deployed.${phase} != [ ]) ''
      [ -e ${places.${phase}} ] || ${install phase}
    '';
in
{
  options.clan.core.vars.sops.package = mkOption {
    type = types.package;
    default = pkgs.sops;
    defaultText = lib.literalExpression "pkgs.sops";
    description = "The sops program that decrypts the secrets on the machine. sops-nix has its own.";
  };

  config = lib.optionalAttrs (!options ? sops.secrets) (
    if _class == "darwin" then
      {
        system.activationScripts = {
          extraActivation.text = lib.mkIf hasEarly (install "users");
          # Daemons that are started find their secrets.
          launchd.text = lib.mkIf hasLate (lib.mkBefore (install "services"));
        };
        launchd.daemons.fleet-secrets = lib.mkIf (hasEarly || hasLate) {
          script = atBoot "users" + atBoot "services";
          serviceConfig = {
            RunAtLoad = true;
            StandardErrorPath = "/var/log/fleet-secrets.log";
          };
        };
      }
    else
      {
        system.activationScripts = lib.mkIf (!usersByUnit) scripts;
        systemd.services = lib.mkIf usersByUnit units;
      }
  );
}
