# One feature, three classes, one file.
{
  flake.modules.darwin.shell-fish = {
    programs.fish.enable = true;
  };

  flake.modules.homeManager.shell-fish = {
    programs.fish = {
      enable = true;
      shellAliases.g = "git";
    };
  };

  flake.modules.nixos.shell-fish =
    { pkgs, ... }:
    {
      programs.fish.enable = true;
      users.users.root.shell = pkgs.fish;
    };
}
