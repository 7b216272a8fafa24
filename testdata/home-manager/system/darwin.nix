{ config, lib, ... }:
{
  config.system.activationScripts.postActivation.text = lib.mkIf (
    config.home-manager.users != { }
  ) (lib.concatStrings (lib.attrValues config.system.build.activateHomes));
}
