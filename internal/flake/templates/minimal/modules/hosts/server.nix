# The machine `server`: its name after `hosts/` wires it by itself.
{ config, ... }:
{
  flake.modules.nixos."hosts/server" = {
    imports = [ config.flake.modules.nixos.base ];

    nixpkgs.hostPlatform = "x86_64-linux";
    system.stateVersion = "25.11";

    # Put your own here: nixos-generate-config --show-hardware-config
    boot.loader.systemd-boot.enable = true;
    fileSystems."/" = {
      device = "/dev/disk/by-label/nixos";
      fsType = "ext4";
    };
  };
}
