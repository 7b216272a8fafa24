{ config, ... }:
{
  flake.modules.darwin."hosts/blackphos" = {
    imports = with config.flake.modules; [
      darwin.base
      darwin.system
      homeManager.shell
    ];
  };
}
