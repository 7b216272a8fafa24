# flake.fleet: what the fleet program reads, as plain data but for `describe`.
{
  config,
  inputs,
  lib,
  ...
}:
let
  near = import ../lib/near.nix { inherit lib; };
  inherit (config) inventory;
  modules = config.flake.modules;

  set = lib.filterAttrs (_: value: value != null);

  # machine → its tags, sorted because the tags are.
  tags = lib.mapAttrs (_: map (entry: entry.tag)) (
    lib.groupBy (entry: entry.name) (
      lib.concatLists (lib.mapAttrsToList (tag: map (name: { inherit tag name; })) inventory.tags)
    )
  );

  machine = name: value: {
    inherit name;
    class = value.machineClass;
    tags = tags.${name};
    deploy = set value.deploy;
  }
  // set { inherit (value) description; };

  instance = value: {
    module = {
      inherit (value.module) name;
    }
    // lib.optionalAttrs (value.module.input != null && value.module.input != "fleet") {
      inherit (value.module) input;
    };
    roles = lib.mapAttrs (
      name: role:
      {
        machines = lib.mapAttrs (_: member: {
          inherit (member) via settings origins;
        }) role.machines;
      }
      // lib.filterAttrs (_: before: before != [ ]) { inherit (value.service.roles.${name}) before; }
    ) value.roles;
  };

  # Host modules by the machine that they name.
  hostsOf =
    class:
    lib.concatMap (
      key:
      let
        found = builtins.match "(hosts|machines/${class})/([^/]+)" key;
      in
      lib.optional (found != null) {
        inherit class key;
        machine = lib.last found;
      }
    ) (lib.attrNames (modules.${class} or { }));
  hosts = lib.concatMap hostsOf [
    "darwin"
    "nixos"
  ];

  hostsByMachine = lib.groupBy (host: host.machine) hosts;

  machineNames = lib.attrNames inventory.machines;
  withoutModule = lib.filter (
    name: !(hostsByMachine ? ${name}) && !(config.clan.machines ? ${name})
  ) machineNames;
  withoutMachine = lib.filter (host: !(inventory.machines ? ${host.machine})) hosts;
  strangers = lib.concatLists (
    lib.mapAttrsToList (
      tag: members:
      map (name: { inherit tag name; }) (lib.filter (name: !(inventory.machines ? ${name})) members)
    ) inventory.tags
  );

  warnings =
    map (
      name:
      "machine ${name} has no module of its own: define flake.modules.${
        inventory.machines.${name}.machineClass
      }.\"hosts/${name}\""
    ) withoutModule
    ++ map (
      host:
      "flake.modules.${host.class}.\"${host.key}\" belongs to no machine: inventory.machines has no ${host.machine}; ${near host.machine machineNames}"
    ) withoutMachine
    ++ map (
      { tag, name }:
      "inventory.tags.${tag} names ${name}, which is no machine; ${near name machineNames}"
    ) strangers
    ++ lib.concatMap (value: value.warnings) (lib.attrValues config.fleet.instances);
in
{
  config.flake.fleet = {
    schema = 1;

    inventory = {
      meta = set inventory.meta;
      machines = lib.mapAttrs machine inventory.machines;
      instances = lib.mapAttrs (_: instance) config.fleet.instances;
      inherit warnings;
    };

    # The names that `config.flake.modules` has, for "did you mean".
    modules = lib.mapAttrs (_: lib.attrNames) modules;

    inherit (config.fleet) services;

    machines = lib.mapAttrs (name: configuration: {
      describe = import ./describe.nix {
        inherit lib name configuration;
        inherit (inputs) nixpkgs;
      };
    }) config.fleet.configurations;
  };
}
