# What the instances add to one machine: the modules of its roles.
{
  lib,
  instances,
  meta,
  class,
  machine,
}:
let
  # The settings of a machine in a role, checked by the options of the role.
  settingsOf =
    instanceName: instance: roleName: machineName: resolved:
    (lib.evalModules {
      prefix = [
        "inventory"
        "instances"
        instanceName
        "roles"
        roleName
        "settings"
      ];
      modules = [
        instance.service.roles.${roleName}.interface
      ]
      ++ map (leaf: {
        _file = "${lib.concatStringsSep ", " leaf.files} (${leaf.origin} settings for ${machineName})";
        config = lib.setAttrByPath leaf.path leaf.value;
      }) resolved.leaves;
    }).config;

  rolesOf =
    instanceName: instance:
    lib.mapAttrs (roleName: role: {
      machines = lib.mapAttrs (machineName: resolved: {
        settings = settingsOf instanceName instance roleName machineName resolved;
      }) role.machines;
    }) instance.roles;

  mine = lib.filterAttrs (_: instance: rolesIn instance != [ ]) instances;

  rolesIn =
    instance:
    lib.filter (role: instance.roles.${role}.machines ? ${machine}) (lib.attrNames instance.roles);

  self = instance: {
    name = machine;
    roles = rolesIn instance;
  };

  moduleOf = label: result: {
    _file = label;
    imports = lib.optional (result ? "${class}Module") result."${class}Module";
  };

  perInstance =
    instanceName: instance:
    let
      roles = rolesOf instanceName instance;
      perRole =
        role:
        let
          label = "inventory.instances.${instanceName}.roles.${role}";
        in
        [
          (moduleOf label (
            instance.service.roles.${role}.perInstance {
              inherit instanceName roles meta;
              inherit (roles.${role}.machines.${machine}) settings;
              machine = self instance;
            }
          ))
        ]
        ++ instance.roles.${role}.extraModules;
    in
    lib.concatMap perRole (rolesIn instance);

  # Instances of one service are seen together by its perMachine.
  byService = lib.groupBy (name: serviceName mine.${name}.module) (lib.attrNames mine);
  serviceName =
    { name, input }: if input == null || input == "fleet" then name else "${input}/${name}";

  perMachine =
    label: names:
    moduleOf "the service ${label}" (
      mine.${lib.head names}.service.perMachine {
        inherit meta;
        machine = {
          name = machine;
          roles = lib.unique (lib.concatMap (name: rolesIn mine.${name}) names);
        };
        instances = lib.genAttrs names (name: {
          roles = rolesOf name mine.${name};
        });
      }
    );
in
lib.concatLists (lib.mapAttrsToList perInstance mine) ++ lib.mapAttrsToList perMachine byService
