{ lib, _class, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; };

  secret =
    { config, name, ... }:
    {
      options = {
        name = option types.str name;
        path = option types.str (
          if config.neededForUsers then
            "/run/secrets-for-users/${config.name}"
          else
            "/run/secrets/${config.name}"
        );
        format = option (types.enum [
          "yaml"
          "json"
          "binary"
          "dotenv"
          "ini"
        ]) "yaml";
        mode = option types.str "0400";
        owner = option (types.nullOr types.str) null;
        group = option (types.nullOr types.str) null;
        neededForUsers = option types.bool false;
        sopsFile = mkOption { type = types.path; };
      }
      // lib.optionalAttrs (_class == "nixos") {
        restartUnits = option (types.listOf types.str) [ ];
      };
    };
in
{
  options.sops = {
    secrets = option (types.attrsOf (types.submodule secret)) { };
    age.keyFile = option (types.nullOr types.str) null;
    gnupg.sshKeyPaths = option (types.listOf types.path) [ ];
    package = option types.raw null;
    validationPackage = option types.raw null;
  };
}
