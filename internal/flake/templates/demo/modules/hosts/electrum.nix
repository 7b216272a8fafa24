{ config, ... }:
{
  flake.modules.nixos."hosts/electrum" = {
    imports = with config.flake.modules; [
      nixos.base
      nixos.system
      nixos.ssh-ca
      nixos.metrics
      homeManager.shell
    ];
  };
}
