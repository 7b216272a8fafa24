# What a Mac has beside the base.
{ config, lib, ... }:
{
  flake.modules.darwin.system = {
    imports = [
      config.flake.modules.darwin.shell-fish
      config.flake.modules.darwin.crs58
    ];
    system.primaryUser = "crs58";
    system.stateVersion = lib.mkDefault 5;
  };

  flake.modules.nixos.system = {
    imports = [
      config.flake.modules.nixos.shell-fish
      config.flake.modules.nixos.crs58
    ];
  };
}
