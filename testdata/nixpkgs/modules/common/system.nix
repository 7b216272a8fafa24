{
  config,
  lib,
  pkgs,
  ...
}:
{
  options = {
    system = {
      build = lib.mkOption {
        type = lib.types.lazyAttrsOf lib.types.unspecified;
        default = { };
        internal = true;
        description = "What the configuration is built into.";
      };
      configurationRevision = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "8a1b2c3";
        description = "The revision of the flake that the machine was made from.";
      };
      systemBuilderCommands = lib.mkOption {
        type = lib.types.lines;
        default = "";
        internal = true;
        description = "More commands of the builder of the toplevel; $out is its folder.";
      };
      extraDependencies = lib.mkOption {
        type = lib.types.listOf lib.types.path;
        default = [ ];
        description = "More paths of the closure.";
      };
    };
    time.timeZone = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "Europe/Berlin";
      description = "The time zone; accepted.";
    };
    documentation = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      description = "Documentation; accepted.";
    };
    fonts = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      description = "Fonts; accepted.";
    };
    security = lib.mkOption {
      type = lib.types.submodule { freeformType = lib.types.attrsOf lib.types.anything; };
      default = { };
      description = "Security settings; accepted.";
    };
  };

  # Assertions speak up when the system is asked for, not when an option is read.
  config.system.build.checked =
    drv: lib.asserts.checkAssertWarn config.assertions config.warnings drv;
  config.system.systemBuilderCommands = lib.mkIf (config.system.extraDependencies != [ ]) ''
    printf '%s\n' ${
      lib.escapeShellArgs (map (p: "${p}") config.system.extraDependencies)
    } >"$out/extra-dependencies"
  '';
}
