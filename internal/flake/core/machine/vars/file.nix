# One file of a generator: who may read it on the machine, and where it lies.
{
  config,
  lib,
  name,
  class,
  generator,
  settings,
  ...
}:
let
  inherit (lib) mkOption types;

  id = "${generator.name}/${config.name}";
  machine = settings.machine.name;

  # Where the value lies in the fleet's folder.
  place =
    if settings.layout == "clan" then
      let
        owner = if generator.share then "shared" else "per-machine/${machine}";
        kind = if config.secret then "secret" else "value";
      in
      "vars/${owner}/${id}/${kind}"
    else
      let
        owner = if generator.share then "shared" else "machines/${machine}";
        kind = if config.secret then "secrets" else "facts";
      in
      "sops/${owner}/${kind}/${id}";

  mend = "run `fleet vars generate ${machine}`";

  # Before users are made only numbers can be told apart, and those of root.
  rootsOwn =
    what: names: value:
    if
      !lib.elem config.neededFor [
        "users"
        "activation"
      ]
      || lib.elem value names
    then
      value
    else
      throw "clan.core.vars.generators.${generator.name}.files.${config.name}.${what} is ${value}, but a secret that is needed for ${config.neededFor} is there before any user is and must belong to root (machine ${machine})";

  targets = {
    services = "/run/secrets/${generator.name}.${config.name}";
    users = "/run/secrets-for-users/${generator.name}.${config.name}";
    activation = "/run/secrets-for-users/${generator.name}.${config.name}";
    partitioning = "/run/partitioning-secrets/${generator.name}/${config.name}";
  };
in
{
  options = {
    name = mkOption {
      type = types.strMatching "[^/[:space:]]+";
      default = name;
      readOnly = true;
      description = "The name of the file.";
    };

    secret = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the value is kept encrypted, or public and readable by the evaluation.";
    };

    deploy = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the secret is put on the machine.";
    };

    owner = mkOption {
      type = types.str;
      default = "root";
      apply = rootsOwn "owner" [ "root" ];
      example = "nginx";
      description = "The user that owns the secret on the machine.";
    };

    group = mkOption {
      type = types.str;
      default = if class == "darwin" then "wheel" else "root";
      defaultText = lib.literalMD "`root`, on darwin `wheel`";
      apply = rootsOwn "group" ([ "root" ] ++ lib.optional (class == "darwin") "wheel");
      example = "nginx";
      description = "The group that owns the secret on the machine.";
    };

    mode = mkOption {
      type = types.strMatching "[0-7]{4}";
      default = "0400";
      example = "0440";
      description = "The mode of the secret on the machine.";
    };

    neededFor = mkOption {
      type = types.enum [
        "partitioning"
        "activation"
        "users"
        "services"
      ];
      default = "services";
      description = ''
        What the secret must be there for. Secrets for activation and for users are
        put in place before users are made and therefore belong to root. Those for
        partitioning are for who installs the machine and never put on it.
      '';
    };

    restartUnits = mkOption {
      type = types.listOf types.str;
      default = [ ];
      apply =
        units:
        if class == "darwin" && units != [ ] then
          throw "clan.core.vars.generators.${generator.name}.files.${config.name}.restartUnits: darwin has no systemd units (machine ${machine})"
        else
          units;
      example = [ "nginx.service" ];
      description = "The systemd units that are restarted when the secret changes.";
    };

    flakePath = mkOption {
      type = types.raw;
      default = settings.directory + "/${place}";
      defaultText = lib.literalMD "the file below `sops/` or `vars/`";
      internal = true;
      readOnly = true;
      description = "Where the value lies in the fleet's folder, encrypted if it is secret.";
    };

    exists = mkOption {
      type = types.bool;
      default = builtins.pathExists config.flakePath;
      defaultText = lib.literalMD "whether the value has been made";
      readOnly = true;
      description = "Whether the value has been made.";
    };

    path = mkOption {
      type = types.str;
      default =
        if config.secret then
          if config.deploy then targets.${config.neededFor} else "/no-such-path"
        else if config.exists then
          builtins.path {
            path = config.flakePath;
            name = lib.strings.sanitizeDerivationName "${generator.name}-${config.name}";
          }
        else
          throw "${id} of machine ${machine} has no value yet: ${mend}";
      defaultText = lib.literalMD "a file on the machine, or for a public value in the store";
      readOnly = true;
      description = "Where the value can be read on the machine.";
    };

    value = mkOption {
      type = types.str;
      default =
        if config.secret then
          throw "${id} of machine ${machine} is secret, so its value cannot be read by the evaluation: use its path, or set secret = false"
        else if config.exists then
          builtins.readFile config.flakePath
        else
          throw "${id} of machine ${machine} has no value yet: ${mend}";
      defaultText = lib.literalMD "the content of the public file";
      description = "The public value itself. Setting it with mkDefault gives a value for the time before it is made.";
    };
  };
}
