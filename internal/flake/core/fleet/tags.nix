# The type of inventory.tags: lists of machine names, or functions that make
# them of the other tags and the machines.
{ lib, machines }:
let
  inherit (lib) types;

  ofClass =
    class: lib.attrNames (lib.filterAttrs (_: machine: machine.machineClass == class) machines);

  carrying =
    tag: lib.attrNames (lib.filterAttrs (_: machine: builtins.elem tag machine.tags) machines);

  named = distinct (lib.concatMap (machine: machine.tags) (lib.attrValues machines));

  # Sorted, and quick also for a thousand machines.
  distinct = names: lib.attrNames (lib.genAttrs names (_: null));

  members =
    tags:
    lib.mkOptionType {
      name = "machine names";
      description = "list of machine names, or a function { config, machines, ... } that returns one";
      descriptionClass = "composite";
      check = value: builtins.isList value || builtins.isFunction value;
      merge =
        _: defs:
        distinct (
          builtins.concatMap (
            def:
            if builtins.isFunction def.value then
              def.value {
                config = tags;
                inherit lib machines;
              }
            else
              def.value
          ) defs
        );
    };
in
types.submoduleWith {
  specialArgs = { inherit machines; };
  modules = [
    (
      { config, ... }:
      {
        freeformType = types.lazyAttrsOf (members config);
        config =
          lib.genAttrs named carrying
          // {
            all = lib.attrNames machines;
            nixos = ofClass "nixos";
            darwin = ofClass "darwin";
          };
      }
    )
  ];
}
