# What a NixOS and a nix-darwin machine have in common.
{
  imports = [
    ./assertions.nix
    ./environment.nix
    ./etc.nix
    ./networking.nix
    ./nix.nix
    ./nixpkgs.nix
    ./openssh.nix
    ./programs.nix
    ./system.nix
    ./users.nix
  ];
}
