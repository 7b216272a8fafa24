# Service modules: those of fleet, of this flake and of its inputs; and what an
# instance of them adds to a machine.
{
  config,
  inputs,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  near = import ../lib/near.nix { inherit lib; };

  evaluate =
    label: module:
    (lib.evalModules {
      modules = [
        ../services/interface.nix
        {
          _file = label;
          imports = [ module ];
        }
      ];
    }).config;

  available =
    instanceName: input:
    if input == null || input == "fleet" then
      import ../services
    else if input == "self" then
      config.fleet.services
    else if !(inputs ? ${input}) then
      throw "inventory.instances.${instanceName}.module.input: the flake has no input ${input}; ${near input (lib.attrNames inputs)}"
    else
      inputs.${input}.fleet.services or inputs.${input}.clan.modules
        or (throw "inventory.instances.${instanceName}.module.input: the input ${input} offers no services (neither fleet.services nor clan.modules)");

  serviceOf =
    instanceName: instance:
    let
      inherit (instance.module) name input;
      offered = available instanceName input;
      source = if input == null then "fleet" else input;
    in
    if offered ? ${name} then
      evaluate "the service ${name} of ${source}" offered.${name}
    else
      throw "inventory.instances.${instanceName}.module.name: ${source} has no service ${name}; ${near name (lib.attrNames offered)}. A service of another input is named by module.input";
in
{
  options.fleet = {
    services = mkOption {
      type = types.lazyAttrsOf types.deferredModule;
      default = { };
      example = lib.literalExpression "{ backup = ./services/backup.nix; }";
      description = "Services of this flake, for instances with `module.input = \"self\"` and for other flakes.";
    };

    instances = mkOption {
      type = types.raw;
      internal = true;
      readOnly = true;
      description = "The instances of the inventory, resolved.";
    };
  };

  config.fleet.instances = import ./resolve.nix {
    inherit lib serviceOf;
    inherit (config) inventory;
  };
}
