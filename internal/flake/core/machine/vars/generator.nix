# One generator: what it needs, what it makes, and its script or what fleet does
# in place of one.
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

  kinds = import ./builtins.nix {
    inherit lib settings;
    generator = config;
  };
  isBuiltin = config.builtin != null;
  kind = lib.head (lib.attrNames config.builtin);
  chosen = config.builtin.${kind};

  mistake = if kinds.${kind} ? mistake then kinds.${kind}.mistake chosen else null;

  # What a built-in generator would not heed is not accepted.
  checked =
    files:
    let
      unmade = lib.attrNames (lib.removeAttrs files (lib.attrNames kinds.${kind}.files));
      beside =
        lib.optional (config.script != "") "script"
        ++ lib.optional (config.prompts != { }) "prompts"
        ++ lib.optional (config.runtimeInputs != [ ]) "runtimeInputs"
        ++ map (name: "files.${name}") unmade;
    in
    if isBuiltin && mistake != null then
      throw "clan.core.vars.generators.${config.name}.builtin.${kind}: ${mistake} (machine ${settings.machine.name})"
    else if isBuiltin && beside != [ ] then
      throw "clan.core.vars.generators.${config.name} has builtin.${kind}, which makes ${lib.concatStringsSep " and " (lib.attrNames kinds.${kind}.files)} by itself, and beside it ${lib.concatStringsSep ", " beside}: remove one of them (machine ${settings.machine.name})"
    else
      files;
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

    builtin = mkOption {
      type = types.nullOr (
        types.attrTag (
          lib.mapAttrs (
            _: kind:
            mkOption {
              type = types.submodule { inherit (kind) options; };
              inherit (kind) description;
            }
          ) kinds
        )
      );
      default = null;
      example = {
        token.bytes = 16;
      };
      description = ''
        What fleet makes itself in place of a script, without building anything
        and wherever the administrator sits. It declares its files, whose other
        options can be set as usual.
      '';
    };

    finalBuiltin = mkOption {
      type = types.nullOr types.raw;
      default =
        if isBuiltin then
          {
            inherit kind;
            settings = chosen;
          }
        else
          null;
      defaultText = lib.literalMD "the kind and the settings of `builtin`";
      internal = true;
      readOnly = true;
      description = "What fleet is told to make.";
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
      apply = checked;
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

  config = {
    files = lib.mkMerge [
      (lib.mapAttrs (_: _: { }) (lib.filterAttrs (_: prompt: prompt.persist) config.prompts))
      (lib.mkIf isBuiltin (lib.mapAttrs (_: lib.mapAttrs (_: lib.mkDefault)) kinds.${kind}.files))
    ];
    dependencies = lib.mkIf (isBuiltin && kinds.${kind} ? dependencies) (
      kinds.${kind}.dependencies chosen
    );
    validation = lib.mkIf (isBuiltin && kinds.${kind} ? validation) (
      lib.mkDefault (kinds.${kind}.validation chosen)
    );
  };
}
