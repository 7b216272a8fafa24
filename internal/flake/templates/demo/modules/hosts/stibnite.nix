{ config, ... }:
{
  flake.modules.darwin."hosts/stibnite" = {
    imports = with config.flake.modules; [
      darwin.base
      darwin.system
      homeManager.shell
    ];
  };
}
