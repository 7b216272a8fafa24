# The names under which a clan flake says the same.
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib) mkOption types;
in
{
  options.clan = {
    inventory = mkOption {
      type = types.deferredModule;
      default = { };
      apply = _: config.inventory;
      description = "The same as `inventory`.";
    };

    machines = mkOption {
      type = types.lazyAttrsOf types.deferredModule;
      default = { };
      example = lib.literalExpression "{ cinnabar = { services.openssh.enable = true; }; }";
      description = "A module per machine, beside its `flake.modules.<class>.\"hosts/<machine>\"`.";
    };
  };

  # Handed on as modules, so that messages keep naming the user's files.
  config.inventory = _: {
    imports = map (
      { file, value }:
      {
        _file = file;
        imports = [ (if builtins.isAttrs value then { config = value; } else value) ];
      }
    ) options.clan.inventory.definitionsWithLocations;
  };
}
