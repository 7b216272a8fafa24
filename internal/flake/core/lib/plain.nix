# Types for plain data that is layered by us rather than by priorities.
{ lib }:
rec {
  # A tree of attribute sets whose leaves are strings, numbers, booleans, null
  # or lists. Definitions from several files are joined; two that disagree are
  # an error that names both.
  settings = lib.mkOptionType {
    name = "settings";
    description = "plain data";
    descriptionClass = "noun";
    check = builtins.isAttrs;
    emptyValue.value = { };
    merge = mergeTree;
  };

  isTree = value: builtins.isAttrs value && !(value ? outPath);

  node = lib.mkOptionType {
    name = "plain data";
    merge = mergeTree;
  };

  mergeTree =
    loc: defs:
    let
      values = map (def: def.value) defs;
      first = builtins.head defs;
      names = lib.unique (builtins.concatMap builtins.attrNames values);
      below =
        name:
        lib.mergeDefinitions (loc ++ [ name ]) node (
          map (def: {
            inherit (def) file;
            value = def.value.${name};
          }) (builtins.filter (def: def.value ? ${name}) defs)
        );
      members = lib.genAttrs names (name: (below name).optionalValue);
      other = lib.findFirst (def: def.value != first.value) null defs;
    in
    if builtins.all isTree values then
      lib.mapAttrs (_: member: member.value) (lib.filterAttrs (_: member: member ? value) members)
    else if builtins.any builtins.isFunction values then
      throw "${lib.showOption loc} is a function, but settings are plain data (defined in ${first.file})"
    else if other == null then
      first.value
    else
      throw "${lib.showOption loc} is ${show first.value} in ${first.file} and ${show other.value} in ${other.file}: keep one, or move one to another layer (instance, role, tag, machine)";

  show = value: lib.generators.toPretty { multiline = false; } value;
}
