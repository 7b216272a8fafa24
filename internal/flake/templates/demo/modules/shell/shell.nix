# The shell of a person, wherever home-manager runs.
{ config, ... }:
{
  flake.modules.homeManager.shell =
    { pkgs, ... }:
    {
      imports = [ config.flake.modules.homeManager.shell-fish ];
      home.packages = [ pkgs.ripgrep ];
    };
}
