# The modules of the fleet's own evaluation, for mkFleet and flake-parts alike.
{
  imports = [
    ./settings.nix
    ./modules.nix
    ./inventory.nix
    ./clan.nix
    ./services.nix
    ./machines.nix
    ./outputs.nix
  ];
}
