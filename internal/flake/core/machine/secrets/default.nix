# Puts the secrets of the machine in place during activation.
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

  files = lib.concatMap (
    generator: map (file: { inherit generator file; }) (lib.attrValues generator.files)
  ) (lib.attrValues config.clan.core.vars.generators);

  phases = {
    users = [
      "activation"
      "users"
    ];
    services = [ "services" ];
  };

  # A secret that has not been made yet is no error of the evaluation:
  # `fleet verify` reports it.
  secretsOf =
    phase:
    lib.filter (
      { file, ... }:
      file.secret && file.deploy && lib.elem file.neededFor phases.${phase} && file.exists
    ) files;

  # root is 0 everywhere, also where no names are known yet.
  id = name: if name == "root" || (_class == "darwin" && name == "wheel") then "0" else name;

  # One line per secret; the installer reads it field by field.
  line =
    { generator, file }:
    lib.concatStringsSep "\t" [
      "${generator.name}.${file.name}"
      # By content, so that other changes of the folder rebuild nothing.
      (builtins.path {
        path = file.flakePath;
        name = lib.strings.sanitizeDerivationName "sops-${generator.name}.${file.name}";
      })
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

  install =
    phase: place:
    let
      manifest = pkgs.writeText "secrets-for-${phase}" (
        lib.concatMapStrings (secret: line secret + "\n") (secretsOf phase)
      );
    in
    ''
      PATH=${path} ${installer} \
        ${manifest} ${place} ${sops.secretUploadDirectory}/key.txt \
        ${sops.package}/bin/sops ${machine}
    '';

  early = install "users" "/run/secrets-for-users";
  late = install "services" "/run/secrets";
  hasEarly = secretsOf "users" != [ ];
  hasLate = secretsOf "services" != [ ];
in
{
  options.clan.core.vars.sops.package = mkOption {
    type = types.package;
    default = pkgs.sops;
    defaultText = lib.literalExpression "pkgs.sops";
    description = "The sops program that decrypts the secrets on the machine.";
  };

  config.assertions = lib.optional (options ? sops) {
    assertion = !(hasEarly || hasLate) || config.sops.secrets == { };
    message = "the secrets of clan.core.vars and those of sops-nix would both be put at /run/secrets; keep sops.secrets empty on machine ${machine}";
  };

  config.system.activationScripts =
    if _class == "darwin" then
      {
        extraActivation.text = lib.mkIf hasEarly early;
        postActivation.text = lib.mkIf hasLate late;
      }
    else
      {
        fleetSecretsForUsers = lib.mkIf hasEarly {
          deps = [ "specialfs" ];
          text = early;
        };
        users = lib.mkIf hasEarly { deps = [ "fleetSecretsForUsers" ]; };
        fleetSecrets = lib.mkIf hasLate {
          deps = [
            "specialfs"
            "users"
            "groups"
          ];
          text = late;
        };
      };
}
