# A machine for every address of addresses.json.
{ config, lib, ... }:
let
  addresses = builtins.fromJSON (builtins.readFile ../addresses.json);
in
{
  inventory.meta.name = "many";
  inventory.machines = lib.mapAttrs (_: targetHost: {
    machineClass = "nixos";
    deploy = { inherit targetHost; };
  }) addresses;

  flake.modules.nixos = {
    base = {
      nixpkgs.hostPlatform = "x86_64-linux";
      system.stateVersion = "25.11";
    };
  }
  // lib.mapAttrs' (name: _: {
    name = "hosts/${name}";
    value.imports = [ config.flake.modules.nixos.base ];
  }) addresses;
}
