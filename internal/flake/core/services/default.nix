# The services that come with fleet.
{
  zerotier = ./zerotier.nix;
}
