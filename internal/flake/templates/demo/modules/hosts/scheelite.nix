{ config, ... }:
{
  flake.modules.nixos."hosts/scheelite" = {
    imports = with config.flake.modules; [
      nixos.base
      nixos.system
      nixos.ssh-ca
      nixos.metrics
      homeManager.shell
    ];
  };
}
