# The person who sits at every machine.
{
  flake.modules.darwin.crs58 = {
    users.users.crs58.home = "/Users/crs58";
    home-manager.users.crs58.home.stateVersion = "25.11";
  };

  flake.modules.nixos.crs58 = {
    users.users.crs58 = {
      isNormalUser = true;
      home = "/home/crs58";
    };
    home-manager.users.crs58.home.stateVersion = "25.11";
  };
}
