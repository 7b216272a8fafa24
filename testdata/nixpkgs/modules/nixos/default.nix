# A small NixOS: enough of it that a machine is deployed and looked at for real.
{
  imports = [
    ../common
    ./activation.nix
    ./boot.nix
    ./networking.nix
    ./openssh.nix
    ./systemd.nix
    ./toplevel.nix
    ./users.nix
    ./zerotierone.nix
  ];
}
