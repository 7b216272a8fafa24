{ config, lib, ... }:
{
  config.system.activationScripts = lib.mkIf (config.home-manager.users != { }) (
    lib.mapAttrs' (
      user: text:
      lib.nameValuePair "home-manager-${user}" {
        deps = [
          "users"
          "groups"
          "etc"
        ];
        inherit text;
      }
    ) config.system.build.activateHomes
  );
}
