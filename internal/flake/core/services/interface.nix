# What a service module may say. The shape follows clan's services.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  role =
    { name, ... }:
    {
      options = {
        description = mkOption {
          type = types.str;
          default = name;
          description = "What a machine with this role does.";
        };
        interface = mkOption {
          type = types.deferredModule;
          default = { };
          description = "The options of the role's settings.";
        };
        constraints = {
          min = mkOption {
            type = types.ints.unsigned;
            default = 0;
            example = 1;
            description = "How many machines of an instance must have the role.";
          };
          max = mkOption {
            type = types.nullOr types.ints.unsigned;
            default = null;
            example = 1;
            description = "How many machines of an instance may have the role.";
          };
        };
        before = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "peer" ];
          description = ''
            Roles of the same instance whose machines are updated only when those
            with this role are: who needs a controller comes after it.
          '';
        };
        perInstance = mkOption {
          type = types.functionTo types.raw;
          default = _: { };
          defaultText = lib.literalExpression "_: { }";
          description = ''
            A function of { instanceName, settings, machine, roles, meta } that
            returns { nixosModule, darwinModule }; each may be left out.
          '';
        };
      };
    };
in
{
  options = {
    manifest = mkOption {
      type = types.submodule {
        freeformType = types.lazyAttrsOf types.raw;
        options = {
          name = mkOption {
            type = types.str;
            example = "zerotier";
            description = "The name of the service.";
          };
          description = mkOption {
            type = types.str;
            default = "";
            description = "A sentence about the service.";
          };
        };
      };
      description = "What the service is.";
    };
    roles = mkOption {
      type = types.attrsOf (types.submodule role);
      default = { };
      description = "The parts that a machine can take.";
    };
    perMachine = mkOption {
      type = types.functionTo types.raw;
      default = _: { };
      defaultText = lib.literalExpression "_: { }";
      description = ''
        A function of { machine, instances, meta } that returns { nixosModule,
        darwinModule } once per machine, however many instances it takes part in.
      '';
    };
  };
}
