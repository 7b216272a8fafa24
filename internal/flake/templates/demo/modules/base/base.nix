# What every machine has.
{ config, inputs, ... }:
let
  inherit (config.flake) modules;
in
{
  flake.modules.generic.base =
    { pkgs, ... }:
    {
      environment.systemPackages = [
        pkgs.git
        pkgs.vim
      ];
    };

  flake.modules.darwin.base = {
    imports = [
      inputs.home-manager.darwinModules.home-manager
      modules.generic.base
      modules.darwin.ssh-host-key
    ];
    nixpkgs.hostPlatform = "aarch64-darwin";
  };

  flake.modules.nixos.base = {
    imports = [
      inputs.home-manager.nixosModules.home-manager
      modules.generic.base
      modules.nixos.ssh-host-key
      modules.nixos.root-password
    ];
    nixpkgs.hostPlatform = "x86_64-linux";
    system.stateVersion = "25.11";
  };
}
