# A small nix-darwin: enough of it that a machine is bootstrapped and looked at.
{ nixpkgs, ... }:
{
  imports = [
    (nixpkgs + "/modules/common")
    ./activation.nix
    ./launchd.nix
    ./networking.nix
    ./openssh.nix
    ./preferences.nix
    ./toplevel.nix
    ./users.nix
  ];
}
