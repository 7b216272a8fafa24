{ config, ... }:
{
  inventory.meta.name = "tiny";

  inventory.machines = {
    one = {
      machineClass = "nixos";
      tags = [ "first" ];
      deploy.targetHost = "root:.roots/one";
    };
    two = {
      machineClass = "nixos";
      deploy.targetHost = "root:.roots/two";
    };
  };

  flake.modules.nixos.base = {
    nixpkgs.hostPlatform = "x86_64-linux";
    system.stateVersion = "25.11";
  };
  flake.modules.nixos."hosts/one".imports = [ config.flake.modules.nixos.base ];
  flake.modules.nixos."hosts/two".imports = [ config.flake.modules.nixos.base ];
}
