{ config, lib, ... }:
{
  options.networking = {
    hostName = lib.mkOption {
      type = lib.types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$";
      default = "";
      example = "cinnabar";
      description = "The machine's name.";
    };
    domain = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "example.org";
      description = "The machine's domain.";
    };
    fqdn = lib.mkOption {
      type = lib.types.str;
      default = lib.concatStringsSep "." (
        [ config.networking.hostName ]
        ++ lib.optional (config.networking.domain != null) config.networking.domain
      );
      defaultText = "hostName.domain";
      description = "Name and domain.";
    };
    hosts = lib.mkOption {
      type = lib.types.attrsOf (lib.types.listOf lib.types.str);
      default = { };
      example = {
        "10.0.0.1" = [ "gate" ];
      };
      description = "Names of addresses; accepted.";
    };
    knownNetworkServices = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "Network services of darwin; accepted.";
    };
    dns = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "Name servers; accepted.";
    };
  };
}
