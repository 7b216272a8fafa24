{ lib, ... }:
{
  options = {
    assertions = lib.mkOption {
      type = lib.types.listOf lib.types.unspecified;
      internal = true;
      default = [ ];
      example = [
        {
          assertion = false;
          message = "you can't enable this for that reason";
        }
      ];
      description = "What must hold, with the message for when it does not.";
    };
    warnings = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      internal = true;
      default = [ ];
      example = [ "The `foo' service is deprecated and will go away soon!" ];
      description = "Messages that evaluation shows.";
    };
    meta = lib.mkOption {
      type = lib.types.attrsOf lib.types.unspecified;
      internal = true;
      default = { };
      description = "What modules say about themselves.";
    };
  };
}
