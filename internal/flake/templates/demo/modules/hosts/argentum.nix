{ config, ... }:
{
  flake.modules.darwin."hosts/argentum" = {
    imports = with config.flake.modules; [
      darwin.base
      darwin.system
      homeManager.shell
    ];
    networking.hostName = "argentum";
    system.stateVersion = 5;
  };
}
