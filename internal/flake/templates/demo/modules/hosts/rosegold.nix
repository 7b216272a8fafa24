{ config, ... }:
{
  flake.modules.darwin."hosts/rosegold" = {
    imports = with config.flake.modules; [
      darwin.base
      darwin.system
      homeManager.shell
    ];
  };
}
