# Puts the secrets of the machine in place: through sops-nix where the machine
# has its module, else by an installer of our own. Both keep the same promises
# and the same paths.
{
  imports = [
    ./installer.nix
    ./sops-nix.nix
  ];
}
