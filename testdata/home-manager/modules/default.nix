# The options of one user's home.
{
  imports = [
    ./files.nix
    ./home.nix
    ./programs.nix
  ];
}
