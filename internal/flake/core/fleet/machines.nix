# The machines of the inventory, made of their modules, as configurations.
{
  config,
  inputs,
  lib,
  self,
  ...
}:
let
  inherit (lib) mkOption types;
  modules = config.flake.modules;

  hostNames = class: name: [
    "hosts/${name}"
    "machines/${class}/${name}"
  ];

  hostModules =
    class: name:
    lib.concatMap (key: lib.optional (modules ? ${class}.${key}) modules.${class}.${key}) (
      hostNames class name
    );

  # A host module of the other class would silently be left out.
  checkClass =
    class: name: result:
    let
      other = if class == "nixos" then "darwin" else "nixos";
      stray = lib.filter (key: modules ? ${other}.${key}) (hostNames other name);
    in
    if stray == [ ] then
      result
    else
      throw "machine ${name} is of class ${class}, but ${
        lib.showOption [
          "flake"
          "modules"
          other
          (lib.head stray)
        ]
      } is a ${other} module: set inventory.machines.${name}.machineClass = \"${other}\", or move the module to flake.modules.${class}";

  nix-darwin =
    name:
    inputs.nix-darwin or inputs.darwin
      or (throw "machine ${name} is of class darwin, which needs the input `nix-darwin`: add inputs.nix-darwin to flake.nix");

  systemFor =
    class: name:
    if class == "nixos" then inputs.nixpkgs.lib.nixosSystem else (nix-darwin name).lib.darwinSystem;

  # With the input sops-nix, secrets are deployed through it.
  sopsNix = class: inputs.sops-nix."${class}Modules".sops or { };

  build =
    name: machine:
    let
      class = machine.machineClass;
    in
    checkClass class name (
      systemFor class name {
        specialArgs = {
          inherit inputs self;
        }
        // config.fleet.specialArgs;
        modules = [
          {
            _file = "inventory.machines.${name}";
            imports = [ ../machine ] ++ lib.optional (inputs ? sops-nix) (sopsNix class);
            clan.core.settings = {
              inherit (config.fleet) directory;
              inherit (config.inventory.meta) name domain;
              machine = { inherit name; };
            };
          }
        ]
        ++ import ./instance-modules.nix {
          inherit lib class;
          inherit (config.fleet) instances;
          inherit (config.inventory) meta;
          machine = name;
        }
        ++ hostModules class name
        ++ lib.optional (config.clan.machines ? ${name}) config.clan.machines.${name};
      }
    );

  ofClass =
    class: lib.filterAttrs (_: machine: machine.machineClass == class) config.inventory.machines;
in
{
  options.fleet.configurations = mkOption {
    type = types.raw;
    internal = true;
    readOnly = true;
    description = "The evaluated machines, by name.";
  };

  config = {
    fleet.configurations = lib.mapAttrs build config.inventory.machines;

    flake.nixosConfigurations = lib.mapAttrs (name: _: config.fleet.configurations.${name}) (
      ofClass "nixos"
    );
    flake.darwinConfigurations = lib.mapAttrs (name: _: config.fleet.configurations.${name}) (
      ofClass "darwin"
    );
  };
}
