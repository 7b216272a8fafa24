{ lib, self, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.fleet = {
    directory = mkOption {
      type = types.raw;
      default = self;
      defaultText = lib.literalExpression "self";
      description = "The folder that holds `sops/`, the fleet's keys, secrets and public values.";
    };

    specialArgs = mkOption {
      type = types.lazyAttrsOf types.raw;
      default = { };
      example = lib.literalExpression "{ flakeUsers = config.flake.users; }";
      description = "Arguments that the modules of every machine get beside `inputs` and `self`.";
    };
  };
}
