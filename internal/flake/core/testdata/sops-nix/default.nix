# Stands in for the flake sops-nix: the options that its modules have, without
# what they do.
{
  nixosModules.sops = ./module.nix;
  darwinModules.sops = ./module.nix;
}
