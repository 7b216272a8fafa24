# One generator: what it needs, what it makes, and its script.
{
  config,
  lib,
  name,
  pkgs,
  class,
  settings,
  ...
}:
let
  inherit (lib) mkOption types;

  scalar = types.oneOf [
    types.bool
    types.int
    types.str
  ];
in
{
  options = {
    name = mkOption {
      type = types.strMatching "[^/[:space:]]+";
      default = name;
      readOnly = true;
      description = "The name of the generator.";
    };

    share = mkOption {
      type = types.bool;
      default = false;
      description = "Whether all machines with this generator have the same values.";
    };

    dependencies = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "root-ca" ];
      description = "The generators whose files the script reads as `$in/<generator>/<file>`.";
    };

    validation = mkOption {
      type = types.nullOr (
        types.oneOf [
          scalar
          (types.attrsOf (types.either scalar (types.attrsOf scalar)))
        ]
      );
      default = null;
      example = {
        domain = "example.org";
      };
      description = "What the values depend on: when it changes, they are made again.";
    };

    validationHash = mkOption {
      type = types.nullOr types.str;
      default =
        if config.validation == null then
          null
        else
          builtins.hashString "sha256" (builtins.toJSON config.validation);
      internal = true;
      readOnly = true;
      description = "The hash of `validation`.";
    };

    runtimeInputs = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.openssh ]";
      description = "The packages whose programs the script calls. coreutils are there anyway.";
    };

    script = mkOption {
      type = types.either types.str types.path;
      default = "";
      example = "head -c 32 /dev/urandom | base64 > $out/token";
      description = ''
        The script, as text or a file. It writes every file to `$out/<file>`, reads
        answers from `$prompts/<prompt>` and the values of its dependencies from
        `$in/<generator>/<file>`.
      '';
    };

    finalScript = mkOption {
      type = types.package;
      default = import ./script.nix {
        inherit lib pkgs;
        generator = config;
      };
      defaultText = lib.literalMD "the script with its surroundings";
      internal = true;
      readOnly = true;
      description = "The script as a program.";
    };

    files = mkOption {
      type = types.attrsOf (
        types.submoduleWith {
          specialArgs = {
            inherit class settings;
            generator = config;
          };
          modules = [ ./file.nix ];
        }
      );
      default = { };
      example = {
        id_ed25519 = { };
        "id_ed25519.pub".secret = false;
      };
      description = "What the script makes.";
    };

    prompts = mkOption {
      type = types.attrsOf (types.submodule ./prompt.nix);
      default = { };
      example = {
        password.type = "hidden";
      };
      description = "What the script asks a person.";
    };
  };

  config.files = lib.mapAttrs (_: _: { }) (
    lib.filterAttrs (_: prompt: prompt.persist) config.prompts
  );
}
