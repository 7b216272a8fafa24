# flake.modules.<class>.<name>: the deferred modules that machines are made of.
{
  config,
  lib,
  self,
  ...
}:
let
  inherit (lib) mkOption types;

  systemClasses = [
    "nixos"
    "darwin"
  ];

  files =
    module:
    lib.concatMapStringsSep " and " (imported: imported._file or "an unnamed place") (
      module.imports or [ ]
    );

  # A published module knows its class and finds its way by the class of the
  # evaluation that imports it.
  publish =
    class: name: module:
    let
      label = lib.showOption [
        "flake"
        "modules"
        class
        name
      ];

      routed =
        { _class, options, ... }:
        {
          _file = "${label}, ${files module}";
          # With a key, two importers of one module import it once.
          key = "${toString self}#${label}";
        }
        // (
          if class == "generic" || _class == null || _class == class then
            { imports = [ module ]; }
          else if class == "homeManager" && builtins.elem _class systemClasses then
            {
              config =
                if options ? home-manager then
                  { home-manager.sharedModules = [ routed ]; }
                else
                  throw "${label} is imported by a ${_class} module, but this system has no home-manager: import inputs.home-manager.${_class}Modules.home-manager beside it (defined in ${files module})";
            }
          else
            throw "${label} is a module of class ${class} and cannot be imported into a system of class ${_class} (defined in ${files module})"
        );
    in
    routed;
in
{
  options.flake.modules = mkOption {
    type = types.lazyAttrsOf (types.lazyAttrsOf types.deferredModule);
    default = { };
    apply = lib.mapAttrs (class: lib.mapAttrs (publish class));
    example = lib.literalExpression ''
      {
        darwin.shell = { pkgs, ... }: { programs.fish.enable = true; };
        nixos."hosts/cinnabar" = { imports = [ config.flake.modules.nixos.base ]; };
      }
    '';
    description = ''
      Modules by class (`nixos`, `darwin`, `homeManager`, or any other; `generic`
      fits everywhere) and name. A module named `hosts/<machine>` or
      `machines/<class>/<machine>` is part of that machine by itself. A
      homeManager module that a system module imports becomes one of
      `home-manager.sharedModules`.
    '';
  };
}
