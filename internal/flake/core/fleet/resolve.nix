# Instances resolved: which machine has which role of which instance, why, and
# with which settings. Plain data in, plain data out; no machine is evaluated.
{
  lib,
  inventory,
  # instance → its evaluated service module
  serviceOf,
}:
let
  near = import ../lib/near.nix { inherit lib; };
  layers = import ../lib/layers.nix { inherit lib; };

  machineNames = lib.attrNames inventory.machines;
  tagNames = lib.attrNames inventory.tags;

  from = files: if files == [ ] then "" else " (defined in ${lib.concatStringsSep " and " files})";
  instances = [
    "inventory"
    "instances"
  ];
  at = path: lib.showOption (instances ++ path);

  # tag → its machines as a set, since many machines ask.
  members = lib.mapAttrs (
    _: names: builtins.intersectAttrs (lib.genAttrs names (_: null)) inventory.machines
  ) inventory.tags;
  membersOf = tag: lib.attrNames (members.${tag} or { });
  carries = tag: machine: members ? ${tag}.${machine};

  resolveRole =
    instanceName: instance: roleName: role:
    let
      here = [
        instanceName
        "roles"
        roleName
      ];

      unknown = lib.filter (name: !(inventory.machines ? ${name})) (lib.attrNames role.machines);

      tagsOf = machine: lib.filter (tag: carries tag machine) (lib.attrNames role.tags);

      all = lib.attrNames role.machines ++ lib.concatMap membersOf (lib.attrNames role.tags);

      layer = origin: source: {
        inherit origin;
        value = source.settings;
        files = source.settingsDefinedIn;
      };

      resolveMachine =
        machine:
        let
          merged = layers.merge (instances ++ here ++ [ "settings" ]) (
            [
              (layer "instance" instance)
              (layer "role" role)
              (map (tag: layer "tag:${tag}" role.tags.${tag}) (tagsOf machine))
            ]
            ++ lib.optional (role.machines ? ${machine}) (layer "machine" role.machines.${machine})
          );
        in
        {
          via =
            lib.optional (role.machines ? ${machine}) "machine" ++ map (tag: "tag:${tag}") (tagsOf machine);
          settings = merged.value;
          inherit (merged) leaves origins;
        };
    in
    if unknown != [ ] then
      throw "${
        at (
          here
          ++ [
            "machines"
            (lib.head unknown)
          ]
        )
      } is not a machine of inventory.machines; ${near (lib.head unknown) machineNames}${from role.machinesDefinedIn}"
    else
      {
        machines = lib.genAttrs all resolveMachine;
        inherit (role) extraModules;
        warnings = lib.concatMap (
          tag:
          let
            label = at (
              here
              ++ [
                "tags"
                tag
              ]
            );
            carried = lib.filter (other: membersOf other != [ ]) tagNames;
          in
          lib.optional (membersOf tag == [ ])
            "${label}: no machine carries this tag; ${near tag carried}${from role.tagsDefinedIn}"
        ) (lib.attrNames role.tags);
      };

  checkCount =
    instanceName: service: roles: roleName:
    let
      members = lib.attrNames (roles.${roleName}.machines or { });
      count = lib.length members;
      inherit (service.roles.${roleName}.constraints) min max;
      label = at [
        instanceName
        "roles"
        roleName
      ];
      listed = lib.optionalString (count > 0) ": ${lib.concatStringsSep ", " members}";
    in
    if max != null && count > max then
      throw "${label} has ${toString count} machines, but ${service.manifest.name} takes at most ${toString max}${listed}"
    else if count < min then
      throw "${label} has ${toString count} machines, but ${service.manifest.name} needs at least ${toString min}${listed}"
    else
      true;

  resolveInstance =
    name: instance:
    let
      service = serviceOf name instance;
      roleNames = lib.attrNames service.roles;
      unknown = lib.filter (role: !(service.roles ? ${role})) (lib.attrNames instance.roles);
      roles = lib.mapAttrs (resolveRole name instance) instance.roles;
      checked = lib.all (checkCount name service roles) roleNames;
    in
    if unknown != [ ] then
      throw "${
        at [
          name
          "roles"
          (lib.head unknown)
        ]
      } is not a role of the service ${service.manifest.name}; ${near (lib.head unknown) roleNames}${from instance.rolesDefinedIn}"
    else
      assert checked;
      {
        inherit (instance) module;
        inherit service roles;
        warnings =
          lib.optional (roles == { }) "${at [ name ]} has no roles, so no machine takes part in it"
          ++ lib.concatMap (role: role.warnings) (lib.attrValues roles);
      };
in
lib.mapAttrs resolveInstance inventory.instances
